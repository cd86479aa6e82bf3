# syntax=docker/dockerfile:1
# A static binary in an empty image. Builds for the platform it is asked for:
#   docker buildx build --platform linux/amd64,linux/arm64 -t ringfence .

FROM --platform=$BUILDPLATFORM node:22-alpine AS console
WORKDIR /src/console
COPY console/package.json console/package-lock.json console/.npmrc ./
RUN --mount=type=cache,target=/root/.npm npm ci
COPY console ./
RUN npm run build

# On Alpine the host target is musl, so the binary is static on either platform.
FROM rust:1.95-alpine AS server
RUN apk add --no-cache build-base cmake perl linux-headers busybox-static ca-certificates
WORKDIR /src
COPY . .
COPY --from=console /src/console/dist console/dist
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin ringfence \
    && install -D target/release/ringfence /out/usr/bin/ringfence \
    && install -D /bin/busybox.static /out/usr/bin/wget \
    && install -D /etc/ssl/certs/ca-certificates.crt /out/etc/ssl/certs/ca-certificates.crt \
    && install -d -m 1777 /out/tmp

FROM scratch
COPY --from=server /out /
ENV PATH=/usr/bin \
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    RINGFENCE_SERVER_HOST=0.0.0.0
USER 65532:65532
EXPOSE 8080
STOPSIGNAL SIGTERM
# wget is there for this only.
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s \
    CMD ["/usr/bin/wget", "-q", "-O", "/dev/null", "http://127.0.0.1:8080/readyz"]
ENTRYPOINT ["/usr/bin/ringfence"]
CMD ["serve"]
