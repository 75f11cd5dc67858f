# Agent Memory: `docker build .` builds the image of the daemon, `--target backup` the one that also has PostgreSQL's client programs.
# Uses only instructions that both the classic builder (docker-compose 1.29) and BuildKit support.

FROM node:24-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
# No install script is needed: bcrypt ships its binaries.
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json tsconfig.image.json ./
COPY src src
COPY scripts scripts
COPY site site
COPY docs docs
COPY openapi.json README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md ./
# scripts/ import from ../src. With dist/src linked to dist, they load the same modules as the daemon.
RUN mkdir dist && ln -s . dist/src && npx tsc -p tsconfig.image.json && node scripts/copy-assets.cjs && npx tsx scripts/site.ts
RUN npm prune --omit=dev --ignore-scripts --no-audit --no-fund && chmod +x scripts/*.sh

FROM node:24-bookworm-slim AS memory-daemon
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Agent Memory" \
      org.opencontainers.image.description="The memory service for teams that run AI agents, on PostgreSQL" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
# The running image installs no packages, and package managers would only help an attacker.
RUN rm -rf /usr/local/lib/node_modules /usr/local/bin/npm /usr/local/bin/npx /usr/local/bin/corepack /usr/local/bin/yarn* /opt/yarn* \
 && mkdir /data /ledger && chown 1000:1000 /data /ledger
WORKDIR /app
COPY LICENSE package.json ./
COPY --from=build /app/node_modules node_modules
COPY migrations migrations
COPY --from=build /app/dist dist
# Not NODE_ENV=production, so that a single container starts without any setting and generates its secrets in the volume. Production sets it.
ENV DATA_DIR=/data HOST=0.0.0.0 PORT=8080
VOLUME /data
# a numeric user, so that Kubernetes can verify that it is not root
USER 1000:1000
EXPOSE 8080
# bash, because starting node would take more time on a busy machine than the request. With TLS it only checks that the port is open.
HEALTHCHECK --interval=5s --timeout=10s --start-period=60s --retries=3 \
  CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/${PORT:-3000} && { [ -z \"$TLS_CERT_FILE\" ] || exit 0; } && printf 'GET /ready HTTP/1.0\\r\\n\\r\\n' >&3 && read -r _ status _ <&3 && [ \"$status\" = 200 ]"]
ENTRYPOINT []
CMD ["node", "--max-semi-space-size=32", "dist/main.js"]

# pg_dump must not be older than the server, so the clients come from the server's image. The Debian release is pinned, because another version of
# glibc can sort texts differently from the existing indexes.
FROM pgvector/pgvector:0.8.1-pg17-bookworm AS backup
COPY --from=memory-daemon /usr/local/bin/node /usr/local/bin/node
COPY --from=memory-daemon /app /app
COPY --from=build /app/scripts/*.sh /app/scripts/
WORKDIR /app
ENV NODE_ENV=production DATA_DIR=/data BACKUP_DIR=/backups
RUN mkdir -p /data /ledger /backups /metrics && chown 1000:1000 /data /ledger /backups /metrics
USER 1000:1000
ENTRYPOINT []
CMD ["scripts/backup-daily.sh"]

# a plain build builds the last stage
FROM memory-daemon
