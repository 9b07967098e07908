// Command plot draws the pictures of docs/benchmarks.md from the figures that
// bench/compare kept in docs/benchmarks. It is a module of its own, so that a
// drawing library is no dependency of the server.
//
//	cd bench/plot && go run . -docs ../../docs
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"image/color"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
)

func main() {
	docs := flag.String("docs", "../../docs", "directory with benchmarks/*.json; pictures go to images/")
	flag.Parse()
	plot.DefaultFont = font.Font{Typeface: "Liberation", Variant: "Sans"}
	for name, picture := range map[string]func(docs string) (*plot.Plot, error){
		"bench-servers": servers, "bench-latency": latency, "bench-memory": memory,
	} {
		p, err := picture(*docs)
		if errors.Is(err, fs.ErrNotExist) {
			continue // not measured
		}
		if err == nil {
			err = save(p, filepath.Join(*docs, "images", name+".png"))
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "plot: %s: %v\n", name, err)
			os.Exit(1)
		}
	}
}

// save writes a PNG and not an SVG, in which text is as wide as the reader's
// fonts happen to be.
func save(p *plot.Plot, file string) error {
	canvas := vgimg.NewWith(vgimg.UseWH(22*vg.Centimeter, 12*vg.Centimeter), vgimg.UseDPI(150))
	p.Draw(draw.Crop(draw.New(canvas), vg.Points(4), -vg.Points(12), vg.Points(4), -vg.Points(6)))
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = vgimg.PngCanvas{Canvas: canvas}.WriteTo(f)
	return errors.Join(err, f.Close())
}

// read reads the figures of that name.
func read(docs, name string, into any) error {
	text, err := os.ReadFile(filepath.Join(docs, "benchmarks", name+".json"))
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

// line is one curve.
type line struct {
	name   string
	points plotter.XYs
	colour int         // of colours
	dashes []vg.Length // nil: drawn through
}

var (
	dashed = []vg.Length{vg.Points(6), vg.Points(3)}
	dotted = []vg.Length{vg.Points(1.5), vg.Points(2.5)}
)

// colours can be told apart by people who see fewer of them (Okabe and Ito).
var colours = []color.RGBA{
	{0, 114, 178, 255}, {213, 94, 0, 255}, {0, 158, 115, 255}, {204, 121, 167, 255}, {230, 159, 0, 255}, {86, 180, 233, 255}, {0, 0, 0, 255},
}

func picture(title, x, y string, lines []line) (*plot.Plot, error) {
	p := plot.New()
	p.BackgroundColor = color.White
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	p.Title.TextStyle.Font.Size = font.Points(14)
	p.Title.Padding = vg.Points(6)
	p.Legend.Top = true
	p.Legend.Padding = vg.Points(3)
	p.Add(plotter.NewGrid())
	for _, l := range lines {
		curve, dots, err := plotter.NewLinePoints(l.points)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", l.name, err)
		}
		c := colours[l.colour%len(colours)]
		curve.Color, dots.Color = c, c
		curve.Width = vg.Points(1.8)
		curve.Dashes = l.dashes
		dots.Shape, dots.Radius = draw.CircleGlyph{}, vg.Points(2.5)
		if len(l.points) > 50 {
			dots.Radius = 0
		}
		p.Add(curve, dots)
		p.Legend.Add(l.name, curve)
	}
	return p, nil
}

// decades are ticks at 1, 2 and 5 of each power of ten, in plain words.
type decades struct{}

func (decades) Ticks(low, high float64) (ticks []plot.Tick) {
	for e := math.Floor(math.Log10(low)); e <= math.Ceil(math.Log10(high)); e++ {
		for _, m := range []float64{1, 2, 5} {
			v := m * math.Pow(10, e)
			if v < low*0.99 || v > high*1.01 {
				continue
			}
			tick := plot.Tick{Value: v}
			if m == 1 || high/low < 500 {
				tick.Label = plain(v)
			}
			ticks = append(ticks, tick)
		}
	}
	return ticks
}

func plain(v float64) string {
	switch {
	case v >= 1e6:
		return fmt.Sprintf("%g M", v/1e6)
	case v >= 1e3:
		return fmt.Sprintf("%g k", v/1e3)
	}
	return fmt.Sprintf("%g", math.Round(v*1e6)/1e6)
}

func logarithmic(a *plot.Axis) {
	a.Scale, a.Tick.Marker = plot.LogScale{}, decades{}
	a.Min, a.Max = a.Min*0.9, a.Max*1.1
}

// servers is records per CPU-second by batch size.
func servers(docs string) (*plot.Plot, error) {
	type row struct {
		Server, About string
		Batch         int
		PerCPU        float64 `json:"recordsPerCPUSecond"`
	}
	var rows []row
	for _, name := range []string{"v1", "v2"} {
		var report struct{ Rows []row }
		if err := read(docs, name, &report); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		rows = append(rows, report.Rows...)
	}
	if len(rows) == 0 {
		return nil, fs.ErrNotExist
	}
	labels := map[string]string{
		"discard": "baseline: throw away", "append": "baseline: append the body", "v1": "version 1, written", "simple": "the usual way",
		"kafka-snappy": "baseline: the body through Kafka (snappy)", "v2": "version 2, replicated (snappy)", "kafka-simple": "the usual way through Kafka",
	}
	var lines []line
	for _, server := range []string{"discard", "append", "v1", "simple", "kafka-snappy", "v2", "kafka-simple"} {
		l := line{name: labels[server], colour: len(lines)}
		if server != "v1" && server != "v2" {
			l.dashes = dashed
		}
		for _, r := range rows {
			if r.Server == server {
				l.points = append(l.points, plotter.XY{X: float64(r.Batch), Y: r.PerCPU})
			}
		}
		if len(l.points) > 0 {
			lines = append(lines, l)
		}
	}
	p, err := picture("Records per CPU-second of the server", "records a batch", "records per CPU-second", lines)
	if err != nil {
		return nil, err
	}
	logarithmic(&p.X)
	logarithmic(&p.Y)
	p.Legend.Left = true // where batches are small, and no curve is high
	p.Y.Max *= 2
	return p, nil
}

// latency is percentiles by rate, at batches of 100.
func latency(docs string) (*plot.Plot, error) {
	var report struct {
		Points []struct {
			Server, About string
			Batch         int
			Rate          float64 `json:"requestsPerSecond"`
			P50           float64 `json:"p50ms"`
			P99           float64 `json:"p99ms"`
			P999          float64 `json:"p999ms"`
		}
	}
	if err := read(docs, "latency", &report); err != nil {
		return nil, err
	}
	var lines []line
	server := ""
	for _, pt := range report.Points {
		if pt.Batch != 100 {
			continue
		}
		if pt.Server != server { // a server's points follow one another
			server = pt.Server
			colour := len(lines) / 3
			lines = append(lines, line{name: pt.About + ", p50", colour: colour, dashes: dotted},
				line{name: pt.About + ", p99", colour: colour}, line{name: pt.About + ", p99.9", colour: colour, dashes: dashed})
		}
		last := lines[len(lines)-3:]
		for j, ms := range []float64{pt.P50, pt.P99, pt.P999} {
			last[j].points = append(last[j].points, plotter.XY{X: pt.Rate * float64(pt.Batch), Y: max(ms, 0.01)})
		}
	}
	p, err := picture("Latency from when a request was due, batches of 100", "records a second", "milliseconds", lines)
	if err != nil {
		return nil, err
	}
	logarithmic(&p.X)
	logarithmic(&p.Y)
	p.Legend.Left = true // no curve is high at low rates
	return p, nil
}

// memory is the resident set over a soak.
func memory(docs string) (*plot.Plot, error) {
	var reports []struct {
		About   string
		Batch   int
		Rate    float64 `json:"requestsPerSecond"`
		Samples []struct {
			At    float64
			Bytes float64 `json:"residentBytes"`
		}
	}
	if err := read(docs, "soak", &reports); err != nil {
		return nil, err
	}
	var lines []line
	for _, r := range reports {
		l := line{name: fmt.Sprintf("%s, %s records a second", r.About, plain(r.Rate*float64(r.Batch))), colour: len(lines)}
		for _, s := range r.Samples {
			l.points = append(l.points, plotter.XY{X: s.At / 60, Y: s.Bytes / (1 << 20)})
		}
		lines = append(lines, l)
	}
	p, err := picture("Resident memory over a soak", "minutes", "MB", lines)
	if err != nil {
		return nil, err
	}
	p.Y.Min, p.Y.Max = 0, p.Y.Max*1.6
	return p, nil
}
