// How it starts, which view is shown, what the keys do, and the way back from the last change.

const VIEWS = {
  memories: { title: "Memories", needs: null, load: () => refreshList() },
  timeline: { title: "Timeline", needs: "list_changes", load: () => { drawChart(); return loadChanges(); } },
  topics: { title: "Topics", needs: null, load: () => drawTopics(false) },
  deleted: { title: "Deleted", needs: "list_gone", load: () => loadGone() },
  review: { title: "To review", needs: "list_pending", load: () => loadPending() },
};

function drawTabs() {
  const offered = Object.entries(VIEWS).filter(([, view]) => !view.needs || can(view.needs));
  $("tabs").replaceChildren(...offered.map(([name, view]) => el("button", {
    type: "button", "data-view": name, onclick: () => go(name),
  }, view.title)));
  $("tabs").hidden = false;
}

/** Shows a view; `filter` narrows the memories to something else than before. */
function go(name, filter) {
  state.view = name;
  for (const view of Object.keys(VIEWS)) $(`view-${view}`).hidden = view !== name;
  for (const tab of $("tabs").children) {
    if (tab.dataset.view === name) tab.setAttribute("aria-current", "page");
    else tab.removeAttribute("aria-current");
  }
  if (filter) {
    Object.assign(state.filter, { query: "", topics: [], agent: "", since: "", until: "" }, filter);
    $("query").value = "";
    drawFilters();
  }
  document.documentElement.scrollTop = 0;
  return VIEWS[name].load();
}

async function refreshOverview() {
  try {
    take(await call("show_memories"));
  } catch (error) {
    failed(error);
  }
}

async function refreshAll() {
  await Promise.all([refreshOverview(), VIEWS[state.view].load()]);
}

/** Takes over what there is, counted. */
function take(reply) {
  const seen = JSON.stringify([state.overview.total, state.overview.topics, state.overview.agents]);
  state.overview = reply;
  state.tools = new Set(reply.tools);
  if (reply.timezone) setZone(reply.timezone);
  if (JSON.stringify([reply.total, reply.topics, reply.agents]) === seen) return;
  drawFilters();
  if (state.view === "topics") drawTopics(false);
  if (state.view === "timeline") drawChart();
}

// What went wrong, and what was done

const told = (error) => (error instanceof Refusal ? error.message : `Something went wrong here: ${error}`);

function failed(error) {
  notice(told(error));
  if (!(error instanceof Refusal)) console.error(error);
}

const last = { change: null };

/** Says what was done, with the way back where there is one. */
function done(words, change, way = "Undo") {
  last.change = (can("undo") && change) || null;
  notice("");
  $("bar-text").textContent = words;
  $("bar-undo").textContent = way;
  $("bar-undo").hidden = !last.change;
  $("bar").hidden = false;
}

async function takeBack(change, words) {
  try {
    const reply = await call("undo", { change_id: change });
    done(words, reply.change_id, words === "Done again." ? "Undo" : "Redo");
    const open = state.open?.memory.id;
    await refreshAll();
    if (open && !$("detail").hidden) await openMemory(open);
  } catch (error) {
    failed(error);
  }
}

function undoLast() {
  if (last.change) takeBack(last.change, $("bar-undo").textContent === "Redo" ? "Done again." : "Taken back.");
}

// Keys

function move(step) {
  const all = rows();
  if (!all.length) return;
  const from = document.activeElement.closest?.(".row") ?? rowOf(state.open?.memory.id);
  const at = all.indexOf(from);
  const next = all[at < 0 ? (step > 0 ? 0 : all.length - 1) : Math.max(0, Math.min(all.length - 1, at + step))];
  next.focus({ preventScroll: true });
  next.scrollIntoView({ block: "nearest" });
  if (!$("detail").hidden && !state.editing && !narrow.matches) next.click();
}

function escape() {
  if (state.editing) cancelEdit();
  else if (document.activeElement === $("query") && state.filter.query) search("");
  else if (!$("detail").hidden) closeDetail();
  else if (!$("bar").hidden) $("bar").hidden = true;
  else if (state.filter.query) search("");
}

/** The memory that a key is about: the open one, or the one in focus. */
function meant() {
  const focused = document.activeElement.closest?.(".row");
  return (focused && known.get(focused)) ?? (state.open && !state.open.gone ? state.open.memory : null);
}

function keyed(event) {
  const typing = event.target.closest?.("input, textarea, select");
  if (event.key === "Escape" && !$("keys").open) return escape();
  if (event.ctrlKey || event.metaKey || event.altKey || $("keys").open) return;
  if (["ArrowDown", "ArrowUp"].includes(event.key) && (!typing || event.target === $("query")) && !state.editing) {
    event.preventDefault();
    return move(event.key === "ArrowDown" ? 1 : -1);
  }
  if (typing || state.editing) return;
  const memory = meant();
  const run = {
    "/": () => $("query").focus(),
    "?": () => $("keys").showModal(),
    n: () => can("add_memory") && edit(null),
    e: () => memory && can("update_memory") && openMemory(memory.id, memory).then(() => edit(state.open.memory)),
    Delete: () => memory && can("delete_memory") && remove(memory),
    u: undoLast,
  }[event.key];
  if (!run) return;
  event.preventDefault();
  run();
}

function search(query) {
  $("query").value = query;
  state.filter.query = query;
  if (state.view !== "memories") go("memories");
  else refreshList();
}

function wire() {
  $("query").addEventListener("input", () => search($("query").value));
  $("add").addEventListener("click", () => edit(null));
  $("help").addEventListener("click", () => $("keys").showModal());
  $("keys-close").addEventListener("click", () => $("keys").close());
  $("bar-undo").addEventListener("click", undoLast);
  $("bar-close").addEventListener("click", () => { $("bar").hidden = true; });
  document.addEventListener("keydown", keyed);
  document.addEventListener("visibilitychange", async () => {
    if (document.hidden || embedded || state.editing || !state.tools.size) return;
    const { total } = state.overview;
    await refreshOverview();
    if (state.overview.total !== total) VIEWS[state.view].load(); // another client wrote meanwhile
  });
  $("expand").addEventListener("click", async () => {
    const { mode } = await ask("ui/request-display-mode", { mode: "fullscreen" });
    adapt({ displayMode: mode });
    $("expand").hidden = mode === "fullscreen";
  });
}

async function start() {
  wire();
  try {
    const reply = await opening();
    take(reply);
    $("search").hidden = !can("search_memories");
    $("add").hidden = !can("add_memory");
    $("expand").hidden = !embedded || !host.context.availableDisplayModes?.includes("fullscreen");
    if (reply.user && reply.user !== "default") {
      $("whose").textContent = reply.user;
      $("whose").hidden = false;
    }
    drawTabs();
    if (embedded) Object.assign(state.filter, { query: host.input.query ?? "", topics: host.input.topics ?? [] });
    $("query").value = state.filter.query;
    drawFilters();
    const load = VIEWS.memories.load;
    VIEWS.memories.load = () => present(reply, state.filter.query.trim());
    go("memories");
    VIEWS.memories.load = load;
  } catch (error) {
    failed(error);
  }
}

start();
