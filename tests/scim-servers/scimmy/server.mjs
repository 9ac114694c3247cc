/**
 * SCIMMY behind Express, with its resources in memory: a SCIM server that is
 * lenient where scim2-server is strict.
 *
 *     SCIM_TOKEN=… node server.mjs DIRECTORY_WITH_NODE_MODULES
 *
 * The first line on stdout is the base URL, on a free port of 127.0.0.1.
 *
 * Everything between HTTP and the two maps below is SCIMMY's own behaviour and
 * stays unmended: its quirks are why it is here. The handlers add only what
 * SCIMMY leaves to a database: ids, meta dates, a unique userName, and a wait.
 */
import { randomUUID } from "node:crypto";
import { createRequire } from "node:module";
import path from "node:path";
import { setImmediate as aTurn } from "node:timers/promises";

const load = createRequire(path.join(path.resolve(process.argv[2] ?? "."), "package.json"));
const express = load("express");
const SCIMMY = load("scimmy");
const SCIMMYRouters = load("scimmy-routers").default;

const token = process.env.SCIM_TOKEN;
if (!token) {
  console.error("SCIM_TOKEN is not set");
  process.exit(2);
}

const { User, Group } = SCIMMY.Resources;
const notFound = (id) => new SCIMMY.Types.Error(404, null, `Resource ${id} not found`);

/** Stores a resource type in memory; `refuse` may throw before a write. */
function keepInMemory(Resource, refuse) {
  const stored = new Map();

  // Every handler lets other requests in first, as waiting for a database does.
  // SCIMMY reads, patches and writes without a lock, so concurrent changes of one
  // resource are lost here as they are in production.
  const ingress = async (resource, instance) => {
    await aTurn();
    const before = resource.id === undefined ? undefined : stored.get(resource.id);
    if (resource.id !== undefined && before === undefined) throw notFound(resource.id);
    const id = resource.id ?? randomUUID();
    refuse(stored, id, instance);
    const now = new Date().toISOString();
    // A copy through JSON is what a database would hand back.
    const { meta, ...attributes } = JSON.parse(JSON.stringify(instance));
    const after = { ...attributes, id, meta: { created: before?.meta.created ?? now, lastModified: now } };
    stored.set(id, after);
    return structuredClone(after);
  };

  const egress = async (resource) => {
    await aTurn();
    if (resource.id !== undefined) {
      if (!stored.has(resource.id)) throw notFound(resource.id);
      return structuredClone(stored.get(resource.id));
    }
    const all = [...stored.values()];
    return structuredClone(resource.filter ? resource.filter.match(all) : all);
  };

  const degress = async (resource) => {
    await aTurn();
    if (!stored.delete(resource.id)) throw notFound(resource.id);
  };

  SCIMMY.Resources.declare(Resource, { ingress, egress, degress });
}

keepInMemory(User, (stored, id, { userName }) => {
  // RFC 7643 §4.1.1: unique in the service, and not case-exact.
  const taken = [...stored.values()].some(
    (other) => other.id !== id && other.userName.toLowerCase() === userName.toLowerCase(),
  );
  if (taken) throw new SCIMMY.Types.Error(409, "uniqueness", `userName '${userName}' is already in use`);
});
keepInMemory(Group, () => {});
User.extend(SCIMMY.Schemas.EnterpriseUser, false);

const app = express();
app.use(
  "/scim/v2",
  new SCIMMYRouters({
    type: "bearer",
    handler: (request) => {
      if (request.header("Authorization") !== `Bearer ${token}`) throw new Error("Authorization not detected!");
    },
  }),
);

const server = app.listen(0, "127.0.0.1", () => {
  console.log(`http://127.0.0.1:${server.address().port}/scim/v2`);
});
