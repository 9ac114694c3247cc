# syntax=docker/dockerfile:1
FROM docker.io/library/rust:1.95-bookworm AS build
WORKDIR /src
# aws-lc needs a C compiler and cmake; the base image has the first.
RUN apt-get update && apt-get install -y --no-install-recommends cmake && rm -rf /var/lib/apt/lists/*
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    cargo build --release --locked --bin scim-operator && cp target/release/scim-operator /scim-operator

# glibc and the public CA certificates, no shell; the user is numeric so that runAsNonRoot can check it.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /scim-operator /scim-operator
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/scim-operator"]
CMD ["run"]
