package codec

// Span is a run of days, each given as its first hour.
type Span struct {
	First, Last Hour
	// Recent is the last day that does not lie in the future, or First, if all do.
	Recent Hour
	// Known is false for no days at all.
	Known bool
}

// Join returns the days from the first to the last of both.
func (s Span) Join(other Span) Span {
	switch {
	case !other.Known:
		return s
	case !s.Known:
		return other
	}
	return Span{First: min(s.First, other.First), Last: max(s.Last, other.Last), Recent: max(s.Recent, other.Recent), Known: true}
}
