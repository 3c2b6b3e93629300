// The other views: the timeline, topics, what is deleted, and what waits to be accepted.

const LONGEST = 60; // so many bars at most; a gap of more is not drawn

/** A list that comes in pages: `load(cursor)` resolves with a reply, `draw(reply, first)` shows it. */
function paged(more, load, draw) {
  const list = { cursor: null, run: 0 };
  const next = async () => {
    if (!list.cursor) return false;
    const run = list.run;
    const reply = await load(list.cursor).catch(failed);
    if (!reply || run !== list.run) return false;
    list.cursor = reply.next_cursor ?? null;
    draw(reply, false);
    return Boolean(list.cursor);
  };
  const near = whenNear(more, next);
  return async () => {
    const run = ++list.run;
    const reply = await load(undefined).catch(failed);
    if (!reply || run !== list.run) return;
    notice("");
    list.cursor = reply.next_cursor ?? null;
    draw(reply, true);
    if (list.cursor) near.watch();
  };
}

// Timeline

const timeline = { until: "" };

/** Every period from the first to the last, with its count. */
function periods({ learned, unit }) {
  const names = Object.keys(learned);
  if (!names.length) return [];
  const found = [];
  const at = new Date(`${names[0].padEnd(10, "-01")}T00:00:00Z`);
  for (let name = names[0]; name <= names.at(-1) && found.length < 400; name = at.toISOString().slice(0, names[0].length)) {
    found.push([name, learned[name] ?? 0]);
    if (unit === "day") at.setUTCDate(at.getUTCDate() + 1);
    else if (unit === "month") at.setUTCMonth(at.getUTCMonth() + 1);
    else at.setUTCFullYear(at.getUTCFullYear() + 1);
  }
  return found.length > LONGEST + 5 ? names.map((one) => [one, learned[one]]) : found;
}

function periodName(name) {
  const options = { 4: { year: "numeric" }, 7: { year: "numeric", month: "long" }, 10: { dateStyle: "long" } }[name.length];
  return new Intl.DateTimeFormat(undefined, { ...options, timeZone: "UTC" }).format(new Date(name));
}

/** The day after a period, as an ISO date: where the list of changes begins. */
function periodEnd(name) {
  const at = new Date(name);
  if (name.length === 10) at.setUTCDate(at.getUTCDate() + 1);
  else if (name.length === 7) at.setUTCMonth(at.getUTCMonth() + 1);
  else at.setUTCFullYear(at.getUTCFullYear() + 1);
  return at.toISOString().slice(0, 10);
}

function drawChart() {
  const bars = periods(state.overview);
  if (!bars.length) return $("chart").replaceChildren(el("p", { class: "count" }, "Nothing is remembered yet."));
  const most = Math.max(...bars.map(([, count]) => count));
  const jumps = can("list_gone");
  const made = bars.map(([name, count], at) => {
    const bar = el("span", { class: "fill" });
    bar.style.setProperty("--share", count / most);
    const label = `${periodName(name)}: ${counted(count, "memory", "memories")}`;
    const one = jumps
      ? el("button", {
        type: "button", title: label, "aria-label": label, tabIndex: at === bars.length - 1 ? 0 : -1,
        "aria-pressed": String(timeline.until === name),
        onclick: () => { timeline.until = timeline.until === name ? "" : name; drawChart(); loadChanges(); $("chart").querySelector(`[data-at="${at}"]`)?.focus(); },
        "data-at": at,
      }, bar)
      : el("span", { class: "bar-item", role: "img", title: label, "aria-label": label }, bar);
    return el("li", {}, one);
  });
  const chart = el("ol", { class: "chart", "aria-label": "Memories learned, by time" }, made);
  chart.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const at = made.findIndex((one) => one.contains(document.activeElement));
    const next = step && made[at + step]?.querySelector("button");
    if (!next) return;
    event.preventDefault();
    for (const one of made) one.firstChild.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  });
  const axis = el("div", { class: "axis", "aria-hidden": "true" }, el("span", {}, periodName(bars[0][0])),
    el("span", {}, `most: ${number.format(most)}`), el("span", {}, bars.length > 1 ? periodName(bars.at(-1)[0]) : ""));
  $("chart").replaceChildren(chart, axis);
}

const loadChanges = paged($("changes-more"),
  (cursor) => call("list_changes", { limit: 50, cursor, until: timeline.until ? `${periodEnd(timeline.until)}T00:00` : undefined }),
  (reply, first) => {
    if (first) {
      $("changes").replaceChildren();
      $("changes-count").replaceChildren(...(timeline.until
        ? [`Up to ${periodName(timeline.until)}. `, el("button", { type: "button", class: "quiet", onclick: () => { timeline.until = ""; drawChart(); loadChanges(); } }, "Show the latest")]
        : reply.changes.length ? [] : ["Nothing has changed yet."]));
    }
    for (const one of reply.changes) grouped($("changes"), one.at, changeItem(one));
  });

/** Adds an item under the heading of its day. */
function grouped(place, iso, item) {
  const title = when(iso, true);
  let group = place.lastElementChild;
  if (!group || group.dataset.title !== title) {
    group = el("section", { class: "group", "data-title": title }, el("h3", {}, title), el("ul", { class: "rows" }));
    place.append(group);
  }
  group.lastElementChild.append(item);
}

function changeItem(one) {
  const by = one.system ? "by itself" : [one.client, one.client ? ` (${one.tool})` : one.tool].filter(Boolean).join("");
  const undoable = can("undo") && !one.system && !one.undone_by && !one.pruned;
  return el("li", { class: "change" },
    el("p", { class: "version" }, timed(one.at, hour), " · ", stored(by), one.undoes && " · took a change back",
      one.undone_by && el("span", { class: "badge" }, "taken back")),
    el("ul", { class: "deeds" }, one.operations.map(deed), one.more && el("li", { class: "hint" }, `and ${number.format(one.more)} more`)),
    undoable && el("button", { type: "button", class: "quiet", onclick: () => takeBack(one.change_id, "Taken back.") }, one.undoes ? "Redo" : "Undo"));
}

function deed(one) {
  const text = one.was ? differing(one.was, one.content, "span") : el("span", { class: "text", dir: "auto" }, one.content);
  const fields = one.changed?.filter((name) => name !== "content" || !one.was);
  return el("li", {}, el("button", { type: "button", class: "row", "data-id": one.id, onclick: () => openMemory(one.id) },
    el("span", { class: `deed ${one.op}` }, DEEDS[one.op] ?? one.op, fields?.length ? ` (${fields.join(", ")})` : ""), text));
}

// Topics

function drawTopics(all) {
  const topics = Object.entries(state.overview.topics);
  const most = Math.max(1, ...topics.map(([, count]) => count));
  $("topics-count").textContent = topics.length ? counted(topics.length + (state.overview.more_topics ?? 0), "topic", "topics") : "No memory has a topic yet.";
  const shown = all ? topics : topics.slice(0, 30);
  const items = shown.map(([name, count]) => {
    const fill = el("span", { class: "fill", "aria-hidden": "true" });
    fill.style.setProperty("--share", count / most);
    return el("li", {}, el("button", { type: "button", class: "topic", onclick: () => go("memories", { topics: [name] }) },
      el("span", { class: "name" }, stored(name)), el("span", { class: "track" }, fill),
      el("span", { class: "number" }, number.format(count), el("span", { class: "unseen" }, " memories"))));
  });
  const rest = topics.length - shown.length;
  $("topics").replaceChildren(el("ol", { class: "topics" }, items),
    ...(rest > 0 ? [el("button", { type: "button", class: "quiet", onclick: () => drawTopics(true) }, `Show ${number.format(rest)} more`)] : []));
}

// Deleted

const loadGone = paged($("deleted-more"), (cursor) => call("list_gone", { limit: 50, cursor }), (reply, first) => {
  if (first) $("deleted").replaceChildren();
  if (first && !reply.gone.length) $("deleted").replaceChildren(el("p", { class: "count" }, "Nothing is deleted."));
  for (const one of reply.gone) {
    grouped($("deleted"), one.at, el("li", { class: "gone" },
      el("button", { type: "button", class: "row", "data-id": one.id, onclick: () => openMemory(one.id) },
        el("span", { class: "text", dir: "auto" }, one.content),
        el("span", { class: "meta" }, badges({ ...one, expires_at: undefined }),
          el("span", { class: "when" }, one.operation === "expire" ? "expired" : ["deleted ", timed(one.at, hour), " · ", stored(one.client ?? one.tool)]))),
      one.operation === "delete" && can("restore_memory") && restoreButton(one.id, one.version - 1, "Bring back")));
  }
});

// To review: offered only by a backend where new memories wait for approval

const loadPending = paged($("review-more"), (cursor) => call("list_pending", { limit: 50, cursor }), (reply, first) => {
  if (first) $("review").replaceChildren(reply.memories.length ? el("ul", { class: "rows" }) : el("p", { class: "count" }, "Nothing waits."));
  for (const memory of reply.memories) {
    const item = el("li", { class: "pending" },
      el("p", { class: "text", dir: "auto" }, memory.content),
      el("span", { class: "meta" }, badges(memory), el("span", { class: "when" }, timed(memory.created_at), memory.agent && [" · ", stored(memory.agent)])),
      el("div", { class: "buttons" },
        el("button", { type: "button", class: "strong", onclick: () => decide("accept_memories", memory, item) }, "Accept"),
        el("button", { type: "button", class: "quiet danger", onclick: () => decide("refuse_memories", memory, item) }, "Refuse")));
    $("review").querySelector(".rows")?.append(item);
  }
});

async function decide(tool, memory, item) {
  try {
    const reply = await call(tool, { ids: [memory.id] });
    done(tool === "accept_memories" ? "Accepted." : "Refused.", reply.change_id);
    const next = item.nextElementSibling ?? item.previousElementSibling;
    item.remove();
    if (next) next.querySelector("button").focus();
    else loadPending();
    refreshOverview();
  } catch (error) {
    failed(error);
  }
}
