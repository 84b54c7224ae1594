# The gateway's image: Node, the sources as they are (Node strips the types), and the production dependencies.
#
#   docker build --tag sluice .
#   docker run --publish 6443:6443 --volume ./sluice.yaml:/etc/sluice/sluice.yaml:ro sluice
#
# BASE needs Node ≥ 24 as `node`, and nothing else: no shell, no package manager. BUILD_BASE needs npm too, and does not
# end up in the image. For a registry of one's own: --secret id=npmrc,src=$HOME/.npmrc
ARG BASE=docker.io/library/node:26-slim
ARG BUILD_BASE=docker.io/library/node:26-slim

FROM ${BUILD_BASE} AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN --mount=type=secret,id=npmrc,target=/root/.npmrc npm ci --omit=dev --ignore-scripts

FROM ${BASE}
WORKDIR /app
COPY --from=dependencies /app/node_modules node_modules
COPY package.json LICENSE ./
COPY src src
ENV NODE_ENV=production
# No root, and no name for it either: a base need not have /etc/passwd.
USER 65532:65532
EXPOSE 6443
# The admin address of the configuration, where it is not the default: --env SLUICE_ADMIN_ADDRESS=…
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["node", "-e", "fetch(`http://${process.env.SLUICE_ADMIN_ADDRESS ?? '127.0.0.1:9443'}/readyz`).then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "/app/src/sluice.js"]
CMD ["gateway", "--config", "/etc/sluice/sluice.yaml"]
