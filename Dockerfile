# logforge in a container: one static binary, no shell, not root.
#
#   docker build -t logforge .
#   docker run -p 8082:8082 -v logforge:/data logforge
#
# Without arguments it runs pipeline 1 on :8082 with its files in /data;
# config/examples is at /etc/logforge for "-config".

FROM golang:1.26.8-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
ARG COMMIT=unknown
ARG BUILD_DATE=unknown
ENV CGO_ENABLED=0
RUN go build -trimpath -ldflags "-s -w -X main.version=${VERSION} -X main.commit=${COMMIT} -X main.date=${BUILD_DATE}" -o /out/server ./cmd/server \
    && mkdir -p /out/data/logs /out/data/analytics

# Certificates for brokers with TLS, a user database with "nonroot", nothing else.
FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /out/server /server
# A named volume takes the owner of the directory it is first mounted on.
COPY --from=build --chown=65532:65532 /out/data /data
COPY config/examples /etc/logforge
USER 65532:65532
ENV LOGFORGE_STORAGE_LOGS_DIR=/data/logs \
    LOGFORGE_STORAGE_ANALYTICS_DIR=/data/analytics
WORKDIR /data
VOLUME ["/data"]
EXPOSE 8082 8083
# The binary asks its own /health: there is no shell and no curl here.
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s --retries=3 CMD ["/server", "healthcheck"]
ENTRYPOINT ["/server"]
