# syntax=docker/dockerfile:1
# The operator's image. One platform or several:
#   docker build -t scim-operator .
#   docker buildx build --platform linux/amd64,linux/arm64 -t scim-operator .
FROM docker.io/library/rust:1.95.0-bookworm AS build
# Set by the builder; keeps the caches of the platforms apart.
ARG TARGETPLATFORM
ARG TARGETARCH
WORKDIR /src
COPY . .
# Without default features: they are the command line tool's, and the image has none of it, nor what it depends on.
# The allocator has to know the largest pages of a kernel that it may meet: 64 KiB on arm64.
RUN --mount=type=cache,id=scim-operator-registry,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,id=scim-operator-target-${TARGETPLATFORM},target=/src/target,sharing=locked \
    JEMALLOC_SYS_WITH_LG_PAGE=$([ "$TARGETARCH" = arm64 ] && echo 16 || echo 12) \
    cargo build --release --locked --no-default-features --bin scim-operator \
    && cp target/release/scim-operator /scim-operator

# glibc and the public CA certificates, no shell; the user is numeric so that runAsNonRoot can check it.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /scim-operator /scim-operator
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/scim-operator"]
CMD ["run"]
