package kafka

import "flag"

// long makes the chaos tests take minutes instead of seconds: make chaos.
var long = flag.Bool("chaos.long", false, "the long versions of the chaos tests")
