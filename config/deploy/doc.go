// Package deploy holds the checks of what logforge is run with: docker-compose.yml,
// the Dockerfile, Prometheus's configuration and rules, Grafana's dashboard. It
// has no code of its own, only tests, and is a module of its own so that the
// tools they take (compose-go, BuildKit's Dockerfile parser) are no dependencies
// of the server.
//
// No Docker engine is needed. compose_test.go loads the compose file with the
// library that Docker Compose itself loads it with, and holds every path, port,
// command and variable in it against the files, the settings and each other.
// image_test.go does what the Dockerfile says by hand: the filtered context, the
// build commands, the final file system, and in it, as the image's user, the
// server and its health check. prometheus_test.go runs both pipelines and
// Debian's Prometheus, and asks it every query of the dashboard and the rules.
//
// kubernetes_test.go renders the manifests with kustomize's library and decodes them
// strictly into the types of the API. packaging_test.go makes a release, and
// installs, starts, upgrades and removes the deb package for real.
//
// check.sh installs what is missing, runs the linters, and then these tests.
package deploy
