package codec

import "time"

// Hour is one hour of UTC: the number of whole hours since the Unix epoch.
type Hour int64

const hourLayout = "2006-01-02T15"

// HourOf returns the hour that t falls into.
func HourOf(t time.Time) Hour {
	s := t.Unix()
	h := s / 3600
	if s%3600 < 0 {
		h--
	}
	return Hour(h)
}

// ParseHour reads an hour in the form 2026-02-09T15.
func ParseHour(s string) (Hour, error) {
	t, err := time.Parse(hourLayout, s)
	if err != nil {
		return 0, err
	}
	return HourOf(t), nil
}

// Time returns the first instant of the hour, in UTC.
func (h Hour) Time() time.Time { return time.Unix(int64(h)*3600, 0).UTC() }

// String returns the hour in the form 2026-02-09T15.
func (h Hour) String() string { return h.Time().Format(hourLayout) }
