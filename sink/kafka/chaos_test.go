package kafka

// Processes that are killed, stopped, frozen and started again, at random moments
// and under load. The test outside knows every line that is in the topic.

import (
	"context"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"golang.org/x/sys/unix"

	"logforge/sink/kafka/kafkatest"
)

// restarts is how long a killed process took until it consumed again.
type restarts struct{ worst time.Duration }

// afterKill starts the process again and waits until the group's offsets move,
// which takes a commit of the new process. It must not take the dead one's session
// time-out.
func (r *restarts) afterKill(t *testing.T, s *stream, site *site) *childProcess {
	t.Helper()
	admin := kadm.NewClient(s.client)
	committed := func() (sum int64) {
		offsets, err := admin.FetchOffsets(context.Background(), site.cfg.Kafka.GroupID)
		if err != nil {
			return -1
		}
		for _, o := range offsets[s.topic] {
			sum += o.At
		}
		return sum
	}
	before := committed()
	began := time.Now()
	p := site.spawn(t)
	until(t, "the process that was killed consumes again", func() bool { return committed() > before || p.ended() })
	took := time.Since(began)
	if p.ended() {
		t.Fatalf("the process that was started again has ended:\n%s", p.words())
	}
	r.worst = max(r.worst, took)
	if took > site.cfg.Kafka.SessionTimeout/3 {
		t.Errorf("consuming went on %v after the start, with a session time-out of %v", took, site.cfg.Kafka.SessionTimeout)
	}
	return p
}

func TestChaosKillsAtRandomMoments(t *testing.T) {
	broker := kafkatest.Shared(t)
	random := dice(t)
	kills := 8
	if *long {
		kills = 200
	}
	s, site := newStreamAndSite(t, broker, 4)
	site.cfg.Kafka.SessionTimeout = 45 * time.Second // as by default: it must not be waited for
	site.cfg.Consumer.FlushInterval = 20 * time.Millisecond
	stop := pump(s, 2*time.Millisecond, 0, 1, 2, 3)
	p := site.spawn(t)
	var r restarts
	for range kills {
		time.Sleep(pick(random, 400*time.Millisecond))
		p.kill()
		p = r.afterKill(t, s, site)
	}
	stop()
	p.kill()
	s.settled(t, site)
	t.Logf("%d kills, %d lines, consuming again after %v at most", kills, s.total(), r.worst)
}

// Three processes come and go: killed, terminated, frozen for shorter or longer
// than their session, started again.
func TestChaosThreeProcessesComeAndGo(t *testing.T) {
	broker := kafkatest.Shared(t)
	random := dice(t)
	rounds := 12
	if *long {
		rounds = 200
	}
	s := newStream(t, broker.Addr, broker.Topic(t, 6))
	group := groupName()
	sites := make([]*site, 3)
	procs := make([]*childProcess, 3)
	for i := range sites {
		sites[i] = newSite(t, s, group)
		sites[i].cfg.Consumer.FlushInterval = 20 * time.Millisecond
	}
	stop := pump(s, 2*time.Millisecond, 0, 1, 2, 3, 4, 5)
	did := map[string]int{}
	thaw := make([]time.Time, 3) // when a frozen one goes on
	for range rounds {
		time.Sleep(pick(random, 600*time.Millisecond))
		i := random.IntN(3)
		p := procs[i]
		switch {
		case p == nil:
			procs[i] = sites[i].spawn(t)
			did["started"]++
			continue
		case !thaw[i].IsZero():
			time.Sleep(time.Until(thaw[i]))
			p.signal(syscall.SIGCONT)
			thaw[i] = time.Time{}
			continue
		case p.ended():
			t.Fatalf("a process ended by itself:\n%s", p.words())
		}
		switch random.IntN(4) {
		case 0:
			p.kill()
			procs[i] = nil
			did["killed"]++
		case 1:
			p.terminate()
			procs[i] = nil
			did["terminated"]++
		case 2:
			p.signal(syscall.SIGSTOP)
			thaw[i] = time.Now().Add(pick(random, time.Second))
			did["frozen"]++
		case 3:
			p.kill()
			procs[i] = sites[i].spawn(t)
			did["killed and started"]++
		}
	}
	stop()
	for i, p := range procs {
		if p == nil {
			continue
		}
		if !thaw[i].IsZero() {
			p.signal(syscall.SIGCONT)
		}
		p.terminate()
	}
	s.settled(t, sites...)
	t.Logf("%d lines; %v", s.total(), did)
}

// One of three is frozen until its session is over and the others have its
// partitions; then it goes on where it was, in the middle of anything.
func TestChaosAProcessFrozenPastItsSession(t *testing.T) {
	broker := kafkatest.Shared(t)
	random := dice(t)
	times := 1
	if *long {
		times = 20
	}
	s := newStream(t, broker.Addr, broker.Topic(t, 6))
	group := groupName()
	var sites []*site
	var procs []*childProcess
	for range 3 {
		site := newSite(t, s, group)
		site.cfg.Consumer.FlushInterval = time.Millisecond // nearly always within a transaction
		sites = append(sites, site)
		procs = append(procs, site.spawn(t))
	}
	stop := pump(s, time.Millisecond, 0, 1, 2, 3, 4, 5)
	admin := kadm.NewClient(s.client)
	members := func() int {
		groups, err := admin.DescribeGroups(context.Background(), group)
		if err != nil || groups[group].State != "Stable" {
			return -1
		}
		return len(groups[group].Members)
	}
	until(t, "three are in the group", func() bool { return members() == 3 })
	for range times {
		p := procs[random.IntN(3)]
		time.Sleep(pick(random, 300*time.Millisecond))
		p.signal(syscall.SIGSTOP)
		until(t, "the frozen one is thrown out", func() bool { return members() == 2 })
		p.signal(syscall.SIGCONT)
		until(t, "it is back", func() bool { return members() == 3 || p.ended() })
		if p.ended() {
			t.Fatalf("it has ended:\n%s", p.words())
		}
	}
	stop()
	for _, p := range procs {
		p.terminate()
	}
	s.settled(t, sites...)
}

// The broker is killed under load, and comes back.
func TestChaosTheBrokerIsKilledAndComesBack(t *testing.T) {
	broker := kafkatest.Own(t)
	random := dice(t)
	times := 1
	if *long {
		times = 10
	}
	s, site := newStreamAndSite(t, broker, 4)
	stop := pump(s, time.Millisecond, 0, 1, 2, 3)
	r := site.start(t)
	for range times {
		reached(t, s.total(), r)
		time.Sleep(pick(random, 300*time.Millisecond))
		broker.Kill(t)
		until(t, "the consumer says so", func() bool { return r.consumer.Ready() != nil })
		broker.Restart(t)
	}
	stop()
	reached(t, s.total(), r)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	s.settled(t, site)
}

// No file of the process may grow any more: its disk is full. It rolls back,
// leaves its partitions to others, and takes part again when there is room.
func TestChaosAFullDiskIsLeftToOthersAndJoinsAgainWithRoom(t *testing.T) {
	broker := kafkatest.Shared(t)
	s := newStream(t, broker.Addr, broker.Topic(t, 4))
	full := newSite(t, s, groupName())
	full.cfg.Kafka.SessionTimeout = 45 * time.Second // nobody may wait for it
	s.put(20, 5, 0, 1, 2, 3)
	p := full.spawn(t)
	admin := kadm.NewClient(s.client)
	consumed := func() bool {
		lags, err := admin.Lag(context.Background(), full.cfg.Kafka.GroupID)
		l := lags[full.cfg.Kafka.GroupID]
		return err == nil && l.Error() == nil && len(l.Lag) > 0 && l.Lag.Total() == 0
	}
	until(t, "the first lines are consumed", consumed)
	limit := func(bytes uint64) {
		t.Helper()
		if err := unix.Prlimit(p.cmd.Process.Pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: bytes, Max: unix.RLIM_INFINITY}, nil); err != nil {
			t.Fatal(err)
		}
	}
	limit(1)
	s.put(20, 5, 0, 1, 2, 3)
	until(t, "it says that there is no room", func() bool { return strings.Contains(p.words(), "no room") || p.ended() })

	other := newSite(t, s, full.cfg.Kafka.GroupID)
	other.cfg.Kafka.SessionTimeout = full.cfg.Kafka.SessionTimeout
	q := other.spawn(t)
	until(t, "the other one has consumed them", consumed)
	q.terminate()

	s.put(20, 5, 0, 1, 2, 3)
	limit(unix.RLIM_INFINITY)
	until(t, "with room it consumes again", consumed)
	p.terminate()
	s.settled(t, full, other)
}
