"use strict";

// Small tools for the document. Text only ever enters as text nodes and attributes, never as HTML.

const $ = (id) => document.getElementById(id);

/** An element with properties, `data-`/`aria-` attributes (by their full names) and children; null children are left out. */
function el(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (key === "class") made.className = value;
    else if (key in made && !key.includes("-") && key !== "list") made[key] = value;
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

const ICONS = {
  pin: "M9 4h6l-1 6 3 3v2h-4.2L12 21l-.8-6H7v-2l3-3z",
  edit: "M4 20h4L19 9l-4-4L4 16zM13.5 6.5l4 4",
  trash: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13M10.5 11v5M13.5 11v5",
  back: "M15 5l-7 7 7 7",
  restore: "M4 12a8 8 0 1 0 2.6-5.9M4 4v4h4",
};

function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(svg.namespaceURI, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/** A stored text, in its own direction, apart from what stands around it. */
const stored = (text, properties = {}) => el("bdi", { dir: "auto", ...properties }, text);

const number = new Intl.NumberFormat();
const counted = (count, one, many) => `${number.format(count)} ${count === 1 ? one : many}`;

const times = { zone: undefined };

/** Sets the zone in which dates are shown; one that this browser does not know is passed over. */
function setZone(name) {
  try {
    new Intl.DateTimeFormat(undefined, { timeZone: name });
    times.zone = name;
  } catch {
    times.zone = undefined;
  }
  formats.clear();
}

const formats = new Map();

function formatted(kind, options, moment) {
  if (!formats.has(kind)) formats.set(kind, new Intl.DateTimeFormat(undefined, { timeZone: times.zone, ...options }));
  return formats.get(kind).format(moment);
}

const date = (iso) => formatted("date", { year: "numeric", month: "short", day: "numeric" }, new Date(iso));
const hour = (iso) => formatted("hour", { hour: "2-digit", minute: "2-digit" }, new Date(iso));
const full = (iso) => formatted("full", { dateStyle: "long", timeStyle: "short" }, new Date(iso));
const shortDate = (iso) => {
  const then = new Date(iso);
  return then.getFullYear() === new Date().getFullYear()
    ? formatted("short", { month: "short", day: "numeric" }, then)
    : date(iso);
};

/** The heading under which a moment stands in a list: today, yesterday, else its month. */
function when(iso, byDay) {
  const then = date(iso);
  const now = Date.now();
  if (then === date(now)) return "Today";
  if (then === date(now - 86_400_000)) return "Yesterday";
  return byDay ? formatted("day", { dateStyle: "full" }, new Date(iso)) : formatted("month", { year: "numeric", month: "long" }, new Date(iso));
}

/** `<time>` with the short form, the whole in its title. */
const timed = (iso, show = shortDate) => el("time", { dateTime: iso, title: full(iso) }, show(iso));

/** How far off a moment is, in the largest fitting unit. */
function relative(iso) {
  const seconds = (new Date(iso) - Date.now()) / 1000;
  const units = [["year", 31_557_600], ["month", 2_629_800], ["week", 604_800], ["day", 86_400], ["hour", 3_600], ["minute", 60]];
  const [unit, length] = units.find(([, one]) => Math.abs(seconds) >= one) ?? ["minute", 60];
  return new Intl.RelativeTimeFormat(undefined, { numeric: "auto" }).format(Math.round(seconds / length), unit);
}

/** Runs `load` when `place` comes near the screen, and again as long as it returns true. */
function whenNear(place, load) {
  let busy = false;
  const observer = new IntersectionObserver(async (entries) => {
    if (busy || !entries.some((entry) => entry.isIntersecting)) return;
    busy = true;
    const more = await load();
    busy = false;
    observer.unobserve(place);
    if (more) observer.observe(place);
  }, { rootMargin: "1200px" });
  return { watch: () => { observer.unobserve(place); observer.observe(place); } };
}

function notice(text) {
  $("notice").textContent = text;
  $("notice").hidden = !text;
}
