"use strict";
const $ = id => document.getElementById(id);
const make = (tag, attributes = {}, ...children) => {
  const e = Object.assign(document.createElement(tag), attributes);
  e.append(...children);
  return e;
};
const svg = (tag, attributes = {}) => {
  const e = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
  return e;
};

let stages = new Map(), chosen = "", due = false; // name: {steps, points, evaluations, lines, checkpoints}

function stage(name) {
  if (!stages.has(name)) {
    stages.set(name, {steps: 0, points: [], evaluations: [], lines: [], checkpoints: []});
    $("stage").append(make("option", {textContent: name}));
    chosen = $("stage").value = name;
  }
  return stages.get(name);
}
function take(e) {
  const s = stage(e.stage || "run");
  if (e.steps) s.steps = e.steps;
  if (e.kind === "step") {
    while (s.points.length && s.points.at(-1).step >= e.step) s.points.pop(); // the run went back
    s.points.push(e);
  } else {
    if (e.kind === "evaluation") s.evaluations.push(e);
    if (e.kind === "checkpoint") s.checkpoints.push(e);
    s.lines.push(e);
  }
  if (!due) { due = true; requestAnimationFrame(() => { due = false; draw(); }); }
}

const short = v => v == null ? "–" : Math.abs(v) >= 1e5 || v !== 0 && Math.abs(v) < 1e-3 ? v.toExponential(2) : String(+v.toPrecision(4));
const bytes = n => n >= 2 ** 30 ? (n / 2 ** 30).toFixed(2) + " GiB" : (n / 2 ** 20).toFixed(0) + " MiB";
const span = s => s >= 3600 ? `${Math.floor(s / 3600)} h ${Math.floor(s % 3600 / 60)} min` : s >= 60 ? `${Math.floor(s / 60)} min ${Math.floor(s % 60)} s` : `${Math.round(s)} s`;

// rate of a field a second over the last fifty steps
function rate(points, field) {
  const last = points.slice(-50), time = last.reduce((t, p) => t + (p.seconds ?? 0), 0);
  return time ? last.reduce((n, p) => n + (p[field] ?? 0), 0) / time : 0;
}

function draw() {
  const s = stages.get(chosen);
  if (!s) return;
  const p = s.points, last = p.at(-1);
  if (last) {
    const recent = p.slice(-50), took = recent.length > 1 ? (recent.at(-1).time - recent[0].time) / 1000 / (recent.at(-1).step - recent[0].step) : 0;
    const parts = [`step ${last.step}${s.steps ? " of " + s.steps : ""}`, `loss ${short(last.loss)} (${short(last.average)})`];
    if (rate(p, "tokens")) parts.push(`${rate(p, "tokens").toFixed(0)} tokens/s`);
    if (rate(p, "samples")) parts.push(`${rate(p, "samples").toFixed(1)} samples/s`);
    if (s.steps > last.step && took) parts.push(`${span(took * (s.steps - last.step))} left`);
    if (last.memory) parts.push(bytes(last.memory));
    $("status").textContent = parts.join(" · ");
    const done = s.steps ? Math.round(100 * last.step / s.steps) : 0;
    $("bar").firstElementChild.style.width = done + "%";
    $("bar").setAttribute("aria-valuenow", done);
  }
  const rows = (field, name = field, from = p) => ({name, xy: from.map(e => [e.step, typeof field === "function" ? field(e) : e[field]])});
  const towers = [...new Set(p.flatMap(e => Object.keys(e.grad_norms ?? {})))];
  const scores = [...new Set(s.evaluations.flatMap(e => Object.keys(e.scores ?? {})))];
  const charts = [
    ["Loss", rows("loss", "of the step"), rows("average", "running mean")],
    ["Learning rate", ...(last?.lr ?? []).map((_, i) => rows(e => e.lr?.[i], "group " + (i + 1)))],
    ["Gradient norm", rows("grad_norm", "all"), ...towers.length > 1 ? towers.map(t => rows(e => e.grad_norms?.[t], t)) : []],
    ["Tokens a second", rows(e => e.seconds ? e.tokens / e.seconds : null, "tokens/s")],
    ["Memory in MiB", rows(e => e.memory ? e.memory / 2 ** 20 : null, "of the process")],
    ...scores.map(k => [k, rows(e => e.scores?.[k], "validation", s.evaluations.filter(e => k in (e.scores ?? {})))]),
  ].filter(c => c.slice(1).some(l => l.xy.some(([, y]) => y != null && (y !== 0 || c[0] === "Learning rate" || scores.includes(c[0])))));
  $("curves").replaceChildren(...charts.map(c => chart(...c)));
  probes(s);
  $("checkpoints").replaceChildren(...s.checkpoints.slice(-20).reverse().map(e => make("li", {textContent: `step ${e.step}: ${e.text} (${new Date(e.time).toLocaleTimeString()})`})));
  $("lines").replaceChildren(...s.lines.slice(-200).reverse().map(e => make("li", {className: /skipped|rollback/.test(e.kind) ? "bad" : "",
    textContent: `${new Date(e.time).toLocaleTimeString()} step ${e.step} ${e.kind}: ${e.text ?? ""} ${Object.entries(e.scores ?? {}).map(([k, v]) => `${k} ${short(v)}`).join(", ")}`})));
}

const W = 400, H = 150, L = 44, B = 16;
function chart(title, ...lines) {
  const log = $("log").checked && title !== "Learning rate";
  for (const l of lines) l.xy = l.xy.filter(([, y]) => y != null && (!log || y > 0));
  lines = lines.filter(l => l.xy.length);
  const of = y => log ? Math.log10(y) : y;
  const xs = lines.flatMap(l => [l.xy[0][0], l.xy.at(-1)[0]]), ys = lines.flatMap(l => l.xy.map(([, y]) => of(y)));
  const bound = (list, f) => list.reduce((a, b) => f(a, b), list[0]);
  let [x0, x1, y0, y1] = [bound(xs, Math.min), bound(xs, Math.max), bound(ys, Math.min), bound(ys, Math.max)];
  if (x0 === x1) x1 = x0 + 1;
  if (y0 === y1) { y0 -= Math.abs(y0) * .1 || 1; y1 += Math.abs(y1) * .1 || 1; }
  const X = x => L + (x - x0) / (x1 - x0) * (W - L - 4), Y = y => 6 + (y1 - of(y)) / (y1 - y0) * (H - B - 10);
  const g = svg("svg", {viewBox: `0 0 ${W} ${H}`, preserveAspectRatio: "none", role: "img", "aria-label": `${title}: ${lines.map(l => `${l.name} ${short(l.xy.at(-1)[1])}`).join(", ")}`});
  for (const t of [0, .5, 1]) {
    const y = y0 + t * (y1 - y0), at = 6 + (1 - t) * (H - B - 10);
    g.append(svg("line", {x1: L, x2: W - 4, y1: at, y2: at}), Object.assign(svg("text", {x: 2, y: at + 4}), {textContent: short(log ? 10 ** y : y)}));
  }
  for (const [t, anchor] of [[0, "start"], [1, "end"]]) g.append(Object.assign(svg("text", {x: t ? W - 4 : L, y: H - 3, "text-anchor": anchor}), {textContent: x0 + t * (x1 - x0)}));
  lines.forEach((l, i) => {
    const every = Math.ceil(l.xy.length / 800);
    const d = l.xy.filter((_, k) => k % every === 0 || k === l.xy.length - 1).map(([x, y], k) => `${k ? "L" : "M"}${X(x).toFixed(1)},${Y(y).toFixed(1)}`).join("");
    g.append(svg("path", {d: l.xy.length > 1 ? d : d + "h2", class: "c" + i % 4}));
  });
  return make("figure", {}, make("figcaption", {}, make("b", {textContent: title}), ...lines.map((l, i) => make("i", {className: "c" + i % 4, textContent: `${l.name} ${short(l.xy.at(-1)[1])}`}))), g);
}

// picture is the image of probe i, if the run kept one.
const pictures = new Map();
function picture(i) {
  if (!pictures.has(i)) {
    const img = make("img", {src: "/probe/" + i, alt: "probe " + (i + 1)});
    img.onerror = () => { pictures.set(i, ""); img.remove(); }; // it would come back as a broken one
    pictures.set(i, img);
  }
  return pictures.get(i);
}

// probes are one row a probe, with its image, one column an evaluation, the newest first.
function probes(s) {
  const shown = s.evaluations.filter(e => e.generated?.length).slice(-12).reverse();
  const most = shown.reduce((n, e) => Math.max(n, e.generated.length), 0);
  $("probes").closest("section").hidden = !most;
  const heads = shown.map(e => make("th", {scope: "col", textContent: "step " + e.step}));
  const row = i => make("tr", {}, make("td", {}, picture(i)),
    ...shown.map(e => make("td", {textContent: e.generated[i] ?? ""})));
  $("probes").replaceChildren(make("tr", {}, make("td"), ...heads), ...Array.from({length: most}, (_, i) => row(i)));
}

$("stage").onchange = () => { chosen = $("stage").value; draw(); };
$("log").onchange = draw;
for (const [id, says] of [["save", "A checkpoint is written after this step."], ["stop", "The run saves and ends after this step."]]) {
  $(id).onclick = async () => {
    if (id === "stop" && !confirm("Stop the run after this step? It saves and can go on later.")) return;
    const r = await fetch("/" + id, {method: "POST", headers: {"Content-Type": "application/json"}, body: "{}"}).catch(() => null);
    $("status").textContent = r?.ok ? says : "The run cannot be reached.";
  };
}
const source = new EventSource("/events");
source.addEventListener("hello", e => {
  const h = JSON.parse(e.data);
  document.title = $("name").textContent = h.name;
  $("buttons").hidden = !h.live;
});
source.onmessage = e => take(JSON.parse(e.data));
source.onerror = () => { if (source.readyState === EventSource.CONNECTING) $("status").textContent = "The run cannot be reached; it may have ended."; };
