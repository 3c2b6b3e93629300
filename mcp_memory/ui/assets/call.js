// One function reaches the memories, `call(tool, args)`: here over HTTP, as an MCP App over the host's messages.

const embedded = window.parent !== window;
const PROTOCOL = "2026-01-26"; // of the extension io.modelcontextprotocol/ui

/** What the backend would not do, in its own words. */
class Refusal extends Error {}

/** The structured content of a tool's result; throws a Refusal where it is an error. */
function unpacked(result) {
  if (result?.isError) {
    throw new Refusal((result.content ?? []).map((block) => block.text ?? "").join(" ") || "This was refused.");
  }
  if (!result?.structuredContent) throw new Refusal("The reply carries no data.");
  return result.structuredContent;
}

// Over HTTP: the one-time token of the address becomes a session, which this tab alone keeps.

const KEPT = "mcp-memory-session";

async function post(path, body, headers = {}) {
  try {
    return await fetch(path, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: JSON.stringify(body),
    });
  } catch {
    throw new Refusal("mcp-memory ui has ended. Start it again, and open the address it prints.");
  }
}

async function enter() {
  const token = location.hash.slice(1);
  if (!token) return;
  history.replaceState(null, "", location.pathname);
  const reply = await post("session", { token });
  if (reply.ok) sessionStorage.setItem(KEPT, (await reply.json()).session);
}

async function fetched(tool, args) {
  const authorization = `Bearer ${sessionStorage.getItem(KEPT) ?? ""}`;
  const reply = await post("call", { tool, arguments: args }, { authorization });
  if (reply.status === 401) {
    throw new Refusal("This page is not connected: its address works once. End mcp-memory ui with Ctrl-C, and start it again.");
  }
  if (!reply.ok) throw new Refusal(`mcp-memory ui could not answer (${reply.status}); its terminal says why.`);
  return unpacked(await reply.json());
}

// As an MCP App: JSON-RPC by postMessage with the host, and with nobody else.

const host = { context: {}, asked: new Map(), next: 1, input: {}, listeners: {} };

const send = (message) => window.parent.postMessage({ jsonrpc: "2.0", ...message }, "*");

function ask(method, params) {
  const id = host.next++;
  send({ id, method, params });
  return new Promise((resolve, reject) => host.asked.set(id, { resolve, reject }));
}

function received({ source, data }) {
  if (source !== window.parent || data?.jsonrpc !== "2.0") return;
  if (data.method === undefined) {
    const waiting = host.asked.get(data.id);
    host.asked.delete(data.id);
    if (data.error) waiting?.reject(new Refusal(data.error.message || "The host refused."));
    else waiting?.resolve(data.result);
    return;
  }
  if (data.id !== undefined) {
    const known = data.method === "ui/resource-teardown" || data.method === "ping";
    send({ id: data.id, ...(known ? { result: {} } : { error: { code: -32601, message: "Method not found" } }) });
    if (data.method === "ui/resource-teardown") window.removeEventListener("message", received);
    return;
  }
  host.listeners[data.method]?.(data.params ?? {});
}

/** Applies what the host says of itself: theme, colours and fonts by the extension's names, size, zone. */
function adapt(context) {
  Object.assign(host.context, context);
  const root = document.documentElement;
  if (context.theme) root.dataset.theme = context.theme;
  for (const [name, value] of Object.entries(context.styles?.variables ?? {})) {
    if (/^--(color|font|border|shadow)-[a-z0-9-]+$/.test(name) && value) root.style.setProperty(name, value);
  }
  if (context.timeZone) setZone(context.timeZone);
  const { height, maxHeight } = host.context.containerDimensions ?? {};
  root.style.setProperty("--frame", height ? "100vh" : `${Math.min(maxHeight ?? 640, 640)}px`);
  if (host.context.displayMode === "fullscreen") root.style.setProperty("--frame", "100vh");
}

/** Connects to the host; resolves with the result of the tool call that this page was opened for. */
async function join() {
  const first = new Promise((resolve, reject) => {
    host.listeners["ui/notifications/tool-input"] = ({ arguments: given }) => { host.input = given ?? {}; };
    host.listeners["ui/notifications/tool-result"] = resolve;
    host.listeners["ui/notifications/tool-cancelled"] = () => reject(new Refusal("The call was cancelled."));
    host.listeners["ui/notifications/host-context-changed"] = adapt;
  });
  window.addEventListener("message", received);
  document.documentElement.classList.add("embedded");
  const answer = await ask("ui/initialize", {
    protocolVersion: PROTOCOL,
    appInfo: { name: "mcp-memory browser", version: "1" },
    appCapabilities: { availableDisplayModes: ["inline", "fullscreen"] },
  });
  adapt(answer.hostContext ?? {});
  send({ method: "ui/notifications/initialized", params: {} });
  new ResizeObserver(() => {
    const { width, height } = document.documentElement.getBoundingClientRect();
    send({ method: "ui/notifications/size-changed", params: { width: Math.ceil(width), height: Math.ceil(height) } });
  }).observe(document.documentElement);
  return unpacked(await first);
}

async function passedOn(tool, args) {
  const user = host.input.user_id === undefined ? {} : { user_id: host.input.user_id };
  return unpacked(await ask("tools/call", { name: tool, arguments: { ...user, ...args } }));
}

/** Calls a tool; throws a Refusal with a line for the person. Arguments that are empty or undefined are left out. */
function call(tool, args = {}) {
  const given = Object.fromEntries(Object.entries(args).filter(([, value]) => value !== undefined));
  return embedded ? passedOn(tool, given) : fetched(tool, given);
}

/** What the page starts with: the reply of show_memories. */
async function opening() {
  if (embedded) return join();
  await enter();
  return call("show_memories");
}
