# The controller without a PostgreSQL of its own: give it --database-url.
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=container
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /macloom ./cmd/macloom

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --home-dir /var/lib/macloom --create-home macloom
COPY --from=build /macloom /usr/local/bin/macloom
USER macloom
VOLUME /var/lib/macloom
ENV MACLOOM_DATA_DIR=/var/lib/macloom \
    MACLOOM_OPENFLOW=0.0.0.0:6653 \
    MACLOOM_OVSDB=0.0.0.0:6640 \
    MACLOOM_HTTP=0.0.0.0:9696 \
    MACLOOM_LOG_FORMAT=json
EXPOSE 6653 6640 9696
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=6s --start-period=30s --retries=3 \
  CMD ["macloom", "health", "--http", "127.0.0.1:9696"]
ENTRYPOINT ["macloom"]
CMD ["serve"]
