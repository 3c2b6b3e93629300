// One memory beside the list, or over it on a narrow screen: read, edited in place, with its history.

const state = {
  tools: new Set(),
  overview: { total: 0, topics: {}, agents: {}, learned: {}, unit: "day" },
  view: "memories",
  filter: { query: "", topics: [], agent: "", since: "", until: "" },
  open: null, // the memory that is shown: { memory, revisions, gone }
  editing: false,
};
const can = (tool) => state.tools.has(tool);
const narrow = window.matchMedia("(max-width: 899px)");

function badges(memory) {
  return [
    memory.pinned && el("span", { class: "badge pinned", title: "Always part of the profile" }, icon("pin"), "pinned"),
    memory.key && el("span", { class: "badge key", title: "The one value of this name" }, stored(memory.key)),
    memory.topics.map((topic) => el("span", { class: "badge" }, stored(topic))),
    memory.expires_at && el("span", { class: "badge warn", title: full(memory.expires_at) }, "expires ", relative(memory.expires_at)),
    memory.instruction_like && el("span", { class: "badge warn", title: "Stored text that tells its reader what to do" }, "reads like an instruction"),
    memory.damaged && el("span", { class: "badge bad" }, "damaged on disk"),
  ];
}

const opened = { run: 0 }; // counts what was opened or closed: a reply to what came before is late

/** Shows the memory of that id; what is `known` of it at once. */
async function openMemory(id, known) {
  const run = ++opened.run;
  if (known) show({ memory: known });
  markCurrent(id);
  try {
    const found = await readMemory(id);
    if (!state.editing && run === opened.run) show(found);
  } catch (error) {
    failed(error);
  }
}

async function readMemory(id) {
  if (can("memory_history")) return call("memory_history", { id });
  return call("get_memory", { id, history: true });
}

function show(found) {
  const fresh = state.open?.memory.id !== found.memory.id || $("detail").hidden;
  state.open = found;
  state.editing = false;
  fill(found.memory.id, detailParts(found));
  if (fresh && narrow.matches) $("detail").focus();
}

/** Puts content into the pane, and opens it. */
function fill(title, parts) {
  const pane = $("detail");
  const focused = pane.contains(document.activeElement);
  pane.replaceChildren(...parts);
  if (focused) pane.focus({ preventScroll: true });
  pane.hidden = false;
  pane.setAttribute("aria-label", title ? `Memory ${title}` : "New memory");
  document.body.classList.add("open");
  cover();
}

function cover() {
  const covered = narrow.matches && !$("detail").hidden;
  for (const part of [document.querySelector(".top"), $("tabs"), $("main")]) part.inert = covered;
}
narrow.addEventListener("change", cover);

function closeDetail() {
  opened.run++;
  const id = state.open?.memory?.id;
  state.open = null;
  state.editing = false;
  $("detail").hidden = true;
  document.body.classList.remove("open");
  cover();
  markCurrent(null);
  (rowOf(id) ?? $("query")).focus({ preventScroll: true });
}

function head(...buttons) {
  const back = el("button", { type: "button", class: "quiet round", "aria-label": "Close", title: "Close (Esc)", onclick: closeDetail }, icon("back"));
  return el("div", { class: "detail-head" }, back, el("span", { class: "space" }), buttons);
}

function detailParts({ memory, revisions, gone }) {
  const parts = [head(...(gone ? goneButtons(memory, revisions) : livingButtons(memory)))];
  if (gone) parts.push(el("p", { class: "callout" }, gone === "expired" ? "This memory has expired." : "This memory is deleted."));
  if (memory.damaged) {
    const good = memory.last_good ? ["The last good version said: ", stored(memory.last_good.content)] : [];
    parts.push(el("p", { class: "callout" }, "What is stored is not what was written. Save the right text anew, or delete it. ", good));
  }
  const edits = !gone && can("update_memory");
  const text = el("p", { class: "text large", dir: "auto", ondblclick: edits ? () => edit(memory) : null }, memory.content);
  parts.push(text, el("div", { class: "badges" }, badges(memory)), facts(memory));
  if (revisions?.length) parts.push(historyOf(revisions, gone));
  return parts;
}

function livingButtons(memory) {
  return [
    can("update_memory") && el("button", { type: "button", class: "quiet", onclick: () => edit(memory), title: "Edit (e)" }, icon("edit"), "Edit"),
    can("update_memory") && el("button", {
      type: "button", class: "quiet", "aria-pressed": String(memory.pinned),
      onclick: () => change(memory, { pinned: !memory.pinned }, memory.pinned ? "No longer pinned." : "Pinned."),
    }, icon("pin"), memory.pinned ? "Unpin" : "Pin"),
    can("delete_memory") && el("button", { type: "button", class: "quiet danger", onclick: () => remove(memory), title: "Delete (Del)" }, icon("trash"), "Delete"),
  ];
}

function goneButtons(memory, revisions) {
  const last = revisions?.findLast((one) => !["delete", "expire"].includes(one.operation));
  return [last && can("restore_memory") && restoreButton(memory.id, last.version, "Bring back")];
}

function facts(memory) {
  const row = (name, ...value) => el("div", {}, el("dt", {}, name), el("dd", {}, value));
  return el("dl", { class: "facts" },
    row("Learned", timed(memory.created_at, full)),
    memory.updated_at !== memory.created_at && row("Changed", timed(memory.updated_at, full)),
    memory.expires_at && row("Expires", timed(memory.expires_at, full)),
    memory.agent && row("By", stored(memory.agent)),
    Object.entries(memory.metadata ?? {}).map(([name, value]) =>
      row(stored(name), stored(typeof value === "string" ? value : JSON.stringify(value)))),
    row("Id", el("code", {}, memory.id)));
}

// Editing

/** The form that edits `memory` where it stands, or, without one, adds a memory. */
function edit(memory) {
  state.editing = true;
  const known = el("datalist", { id: "known-topics" }, Object.keys(state.overview.topics).slice(0, 200).map((topic) => el("option", { value: topic })));
  const content = el("textarea", { id: "content", required: true, maxLength: 4000, rows: 5, dir: "auto", value: memory?.content ?? "" });
  const topics = el("input", { id: "topics-of", value: memory?.topics.join(", ") ?? "", autocomplete: "off", dir: "auto" });
  topics.setAttribute("list", "known-topics");
  const key = el("input", { id: "key-of", value: memory?.key ?? "", autocomplete: "off", spellcheck: false, dir: "auto", maxLength: 128 });
  const expires = el("input", { id: "expires-of", type: "date", value: memory?.expires_at ? localDate(memory.expires_at) : "" });
  const pinned = el("input", { id: "pinned-of", type: "checkbox", checked: memory?.pinned ?? false });
  const wrong = el("p", { class: "wrong", role: "alert" });
  const field = (label, input, hint) => {
    if (hint) input.setAttribute("aria-describedby", `${input.id}-hint`);
    return el("div", { class: "field" }, el("label", { htmlFor: input.id }, label), input,
      hint && el("p", { class: "hint", id: `${input.id}-hint` }, hint));
  };
  const submit = async () => {
    wrong.textContent = "";
    const fields = changed(memory, { content: content.value, topics: listed(topics.value), key: key.value.trim(), expires: expires.value, pinned: pinned.checked });
    try {
      await save(memory, fields);
    } catch (error) {
      wrong.textContent = told(error);
    }
  };
  // No <form>: the frame in which a host shows this page may not submit any.
  const form = el("div", {
    class: "edit", role: "form", "aria-label": memory ? "Edit memory" : "New memory",
    onkeydown: (event) => {
      if (event.key !== "Enter" || event.isComposing || event.target.closest("button")) return;
      if (event.target === content && !event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      submit();
    },
  },
  field("Text", content),
  field("Topics", topics, "Up to 8, with commas."),
  el("div", { class: "pair" },
    field("Key", key, "If this is the one value of something: home_city."),
    field("Expires", expires, "When it stops being true.")),
  el("label", { class: "check" }, pinned, "Pinned: always part of the profile"),
  wrong,
  el("div", { class: "buttons" },
    el("button", { type: "button", class: "strong", title: "Save (Ctrl Enter)", onclick: submit }, memory ? "Save" : "Add memory"),
    el("button", { type: "button", class: "quiet", onclick: cancelEdit }, "Cancel")), known);
  if (!memory) state.open = null;
  fill(memory?.id, [head(el("h2", {}, memory ? "Edit memory" : "New memory")), form]);
  content.focus();
}

function cancelEdit() {
  state.editing = false;
  if (state.open) show(state.open);
  else closeDetail();
}

const listed = (text) => text.split(/[,，、\n]/).map((one) => one.trim()).filter(Boolean);

/** The day of a moment as a date field has it. */
const localDate = (iso) => new Intl.DateTimeFormat("sv-SE", { timeZone: times.zone }).format(new Date(iso));

/** The fields of a form that say something else than `memory`; of a new one, those that say anything. */
function changed(memory, { content, topics, key, expires, pinned }) {
  const former = memory ?? { content: "", topics: [], pinned: false };
  const fields = {};
  if (content !== former.content || !memory) fields.content = content;
  if (topics.join("\n") !== former.topics.join("\n")) fields.topics = topics;
  if (key !== (former.key ?? "")) fields.key = key;
  if (expires !== (former.expires_at ? localDate(former.expires_at) : "")) fields.expires = expires && `${expires}T00:00`;
  if (pinned !== former.pinned) fields.pinned = pinned;
  return fields;
}

async function save(memory, fields) {
  if (memory && !Object.keys(fields).length) return cancelEdit();
  const reply = memory
    ? await call("update_memory", { id: memory.id, if_version: memory.version, ...fields })
    : await call("add_memory", fields);
  state.editing = false;
  const words = { added: "Added.", exists: "This was there already.", replaced: "This replaces what the key said.", updated: "Saved.", unchanged: "Nothing changed." };
  const redacted = reply.redacted ? ` Replaced before it was stored: ${reply.redacted.join(", ")}.` : "";
  done(words[reply.outcome] + redacted, reply.change_id);
  if (memory) replaceRow(reply.memory);
  else await refreshList();
  refreshOverview();
  await openMemory(reply.memory.id, reply.memory);
  (rowOf(reply.memory.id) ?? $("detail")).focus({ preventScroll: true });
}

/** A change of single fields, without the form. */
async function change(memory, fields, words) {
  try {
    const reply = await call("update_memory", { id: memory.id, if_version: memory.version, ...fields });
    done(words, reply.change_id);
    replaceRow(reply.memory);
    await openMemory(reply.memory.id, reply.memory);
  } catch (error) {
    failed(error);
  }
}

async function remove(memory) {
  const following = neighbourOf(memory.id);
  try {
    const reply = await call("delete_memory", { id: memory.id });
    done("Deleted.", reply.change_id);
    removeRow(memory.id);
    if (state.open?.memory.id === memory.id) closeDetail();
    (following?.isConnected ? following : $("query")).focus({ preventScroll: true });
    refreshOverview();
  } catch (error) {
    failed(error);
  }
}

// History

const DEEDS = { add: "added", update: "changed", delete: "deleted", restore: "restored", expire: "expired" };

function historyOf(revisions, gone) {
  const items = revisions.map((one, at) => version(one, revisions[at - 1], at === revisions.length - 1, gone)).reverse();
  return el("section", { class: "history", "aria-labelledby": "history-title" },
    el("h2", { id: "history-title" }, "History"), el("ol", {}, items));
}

function version(one, former, last, gone) {
  const by = [one.client ?? one.tool, one.client && one.client !== one.tool ? ` (${one.tool})` : ""].join("");
  const offered = !last && !gone && can("restore_memory") && !["delete", "expire"].includes(one.operation) && !one.damaged;
  return el("li", {},
    el("p", { class: "version" }, el("strong", {}, `${DEEDS[one.operation] ?? one.operation}`), " ", timed(one.at, full), " · ", stored(by),
      one.reason && [" · ", stored(one.reason)]),
    !former ? el("p", { class: "text", dir: "auto" }, one.content)
      : former.content !== one.content ? differing(former.content, one.content) : null,
    former && fieldsChanged(former, one),
    offered && restoreButton(state.open.memory.id, one.version, "Back to this version"));
}

function fieldsChanged(former, one) {
  const fields = {
    topics: (it) => it.topics.join(", ") || "none",
    key: (it) => it.key ?? "none",
    pinned: (it) => (it.pinned ? "yes" : "no"),
    expires: (it) => (it.expires_at ? full(it.expires_at) : "never"),
    metadata: (it) => JSON.stringify(it.metadata),
  };
  const lines = Object.entries(fields).filter(([, read]) => read(former) !== read(one)).map(([name, read]) =>
    el("li", {}, `${name}: `, el("del", {}, stored(read(former))), " → ", el("ins", {}, stored(read(one)))));
  return lines.length ? el("ul", { class: "fields" }, lines) : null;
}

function restoreButton(id, version, words) {
  return el("button", {
    type: "button", class: "quiet",
    onclick: async () => {
      try {
        const reply = await call("restore_memory", { id, version });
        done(reply.outcome === "unchanged" ? "It is like that already." : "Brought back.", reply.change_id);
        await refreshAll();
        await openMemory(id, reply.memory);
      } catch (error) {
        failed(error);
      }
    },
  }, icon("restore"), words);
}
