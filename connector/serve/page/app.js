"use strict";
const $ = id => document.getElementById(id);
const make = (tag, attributes = {}, ...children) => {
  const e = Object.assign(document.createElement(tag), attributes);
  e.append(...children);
  return e;
};

// ---- chats, kept in the browser: {id, title, time, messages: [{role, text, images, error, note}]}
const store = {
  open: new Promise((done, failed) => {
    const r = indexedDB.open("gollava", 1);
    r.onupgradeneeded = () => r.result.createObjectStore("chats", {keyPath: "id"});
    r.onsuccess = () => done(r.result);
    r.onerror = () => failed(r.error);
  }),
  async run(mode, f) {
    const db = await this.open;
    return new Promise((done, failed) => {
      const t = db.transaction("chats", mode), r = f(t.objectStore("chats"));
      t.oncomplete = () => done(r.result);
      t.onerror = () => failed(t.error);
    });
  },
  all() { return this.run("readonly", s => s.getAll()); },
  put(c) { return this.run("readwrite", s => s.put(c)).catch(e => say("This chat could not be kept: " + e.message)); },
  remove(id) { return this.run("readwrite", s => s.delete(id)); },
  clear() { return this.run("readwrite", s => s.clear()); },
};

let chat = fresh(), waiting = [], stopper = null;

function fresh() { return {id: crypto.randomUUID?.() ?? String(Date.now() + Math.random()), title: "", time: Date.now(), messages: []}; }
function say(text) { $("status").textContent = text; }

// ---- images
// watches tells whether the chosen model takes videos: it is sent animations as what they are, others see the first frame.
const watches = () => $("model").selectedOptions[0]?.dataset.videos === "true";
// scaled turns an image by its EXIF orientation and makes its longer side 1344 at most, which is more than a model sees.
async function scaled(file) {
  if (watches() && file.type === "image/gif") return url(file);
  const m = await createImageBitmap(file, {imageOrientation: "from-image"});
  const by = Math.min(1, 1344 / Math.max(m.width, m.height));
  if (by === 1 && /png|webp|gif|bmp/.test(file.type) && file.size < 4e6) return url(file);
  const c = make("canvas", {width: Math.max(1, Math.round(m.width * by)), height: Math.max(1, Math.round(m.height * by))});
  c.getContext("2d").drawImage(m, 0, 0, c.width, c.height);
  return c.toDataURL(file.type === "image/jpeg" ? "image/jpeg" : "image/png", 0.95);
}
function url(file) {
  return new Promise((done, failed) => {
    const r = new FileReader();
    r.onload = () => done(r.result);
    r.onerror = () => failed(r.error);
    r.readAsDataURL(file);
  });
}
async function add(files) {
  for (const f of files) {
    try {
      waiting.push(await scaled(f));
      say("");
    } catch {
      say(`${f.name || "What was pasted"} is not an image that this browser can read.`);
    }
  }
  showPictures();
  $("text").focus();
}
function showPictures() {
  $("pictures").replaceChildren(...waiting.map((src, i) => make("li", {}, make("img", {src, alt: `Image ${i + 1}`}),
    make("button", {type: "button", textContent: "×", ariaLabel: `Remove image ${i + 1}`, onclick: () => { waiting.splice(i, 1); showPictures(); }}))));
}

// ---- the conversation on the page
// HTML in an answer is shown as the text that it is; what marked makes of the rest is cleaned all the same.
marked.use({gfm: true, breaks: true, renderer: {html: t => t.text.replace(/[&<>"]/g, c => `&#${c.charCodeAt(0)};`)}});
function markdown(text) { return DOMPurify.sanitize(marked.parse(text), {FORBID_TAGS: ["img", "style", "form", "input", "button"], FORBID_ATTR: ["style"]}); }

function show() {
  $("messages").replaceChildren(...chat.messages.map(row));
  $("messages").scrollTop = $("messages").scrollHeight;
}
function row(m, i) {
  const body = make("div", {className: "body"}), tools = make("div", {className: "tools"});
  const button = (textContent, onclick) => tools.append(make("button", {type: "button", textContent, onclick}));
  const li = make("li", {className: m.role === "user" ? "mine" : "theirs"});
  for (const src of m.images ?? []) li.append(make("img", {src, alt: "Image in the question"}));
  if (m.role === "user") {
    body.textContent = m.text;
    button("Edit", () => edit(i));
  } else {
    body.innerHTML = markdown(m.text);
    button("Copy", () => navigator.clipboard.writeText(m.text).then(() => say("Copied."), () => say("The browser does not allow copying here.")));
    if (m.text && chat.messages.slice(0, i).some(q => q.images?.length)) button("Where it looked", () => gaze(i, li, body));
    if (i === chat.messages.length - 1) button("Regenerate", () => { chat.messages.splice(i); answer(); });
  }
  button("Delete", () => { chat.messages.splice(i, m.role === "user" ? 2 : 1); keep(); show(); });
  if (m.note) tools.append(m.note);
  li.append(body);
  if (m.error) li.append(make("p", {className: "error", role: "alert", textContent: m.error}));
  li.append(tools);
  return li;
}
// gaze shows, for each token of an answer that is pointed at, touched or focused, what it attended to in the images.
async function gaze(i, li, body) {
  if (li.querySelector(".gaze")) return show();
  say("Looking …");
  try {
    const r = await fetch("/v1/attention", {method: "POST", headers: headers(),
      body: JSON.stringify({model: $("model").value, messages: asked(i), answer: chat.messages[i].text})});
    const g = await r.json();
    if (!r.ok) throw new Error(g.error?.message ?? `The server answered with status ${r.status}.`);
    const maps = g.images.map(x => make("canvas", {width: x.rows, height: x.rows}));
    const views = g.images.map((x, k) => make("div", {className: "view"}, make("img", {src: x.url, alt: "What the model sees of the image"}), maps[k]));
    const look = t => {
      let from = 0;
      const top = Math.max(...t.weights, 1e-9);
      g.images.forEach((x, k) => {
        const c = maps[k].getContext("2d"), d = c.createImageData(x.rows, x.rows), n = x.rows * x.rows;
        for (let p = 0; p < n; p++) d.data[4 * p + 3] = 210 * (1 - t.weights[from + p] / top); // what it does not attend to is dark
        c.putImageData(d, 0, 0);
        from += n;
      });
    };
    const words = g.tokens.map(t => make("span", {tabIndex: 0, textContent: t.text, onmouseenter: () => look(t), onfocus: () => look(t), onclick: () => look(t)}));
    body.replaceChildren(...words);
    body.before(make("div", {className: "gaze", title: `layer ${g.layer}, head ${g.head}`}, ...views));
    look(g.tokens[0]);
    say("Point at a word to see what it attended to.");
  } catch (e) {
    say(e instanceof TypeError ? "The server cannot be reached." : e.message);
  }
}
function edit(i) {
  const m = chat.messages[i];
  $("text").value = m.text;
  waiting = [...(m.images ?? [])];
  chat.messages.splice(i);
  showPictures(); show(); grow();
  $("text").focus();
}
function keep() {
  const first = chat.messages.find(m => m.role === "user");
  chat.title = first ? first.text.slice(0, 60) || "An image" : "";
  chat.time = Date.now();
  if (chat.messages.length) store.put(chat).then(showChats);
}
async function showChats() {
  const all = (await store.all()).sort((a, b) => b.time - a.time);
  $("chats").replaceChildren(...all.map(c => make("li", {className: c.id === chat.id ? "now" : ""},
    make("button", {type: "button", textContent: c.title, onclick: () => { chat = c; show(); showChats(); }}),
    make("button", {type: "button", textContent: "×", ariaLabel: `Delete chat ${c.title}`, onclick: async () => { await store.remove(c.id); if (c.id === chat.id) { chat = fresh(); show(); } showChats(); }}))));
}

// ---- asking
function headers() {
  const key = $("key").value;
  return {"Content-Type": "application/json", ...(key ? {Authorization: "Bearer " + key} : {})};
}
// asked are the messages before number n, as the server wants them.
function asked(n) {
  const messages = chat.messages.slice(0, n).filter(m => m.text || m.images?.length).map(m => ({role: m.role, content: m.images?.length ?
    [...m.images.map(url => watches() && url.startsWith("data:image/gif") ? {type: "video_url", video_url: {url}} :
      {type: "image_url", image_url: {url}}), {type: "text", text: m.text}] : m.text}));
  if ($("system").value.trim()) messages.unshift({role: "system", content: $("system").value});
  return messages;
}
function request() {
  const number = id => $(id).value === "" ? undefined : Number($(id).value);
  return {model: $("model").value, messages: asked(chat.messages.length), stream: true, stream_options: {include_usage: true},
    temperature: number("temperature"), top_p: number("top_p"), max_tokens: number("max_tokens"), seed: number("seed")};
}
async function answer() {
  const body = JSON.stringify(request());
  const m = {role: "assistant", text: ""};
  chat.messages.push(m);
  show();
  const place = $("messages").lastElementChild.querySelector(".body");
  place.classList.add("waiting");
  stopper = new AbortController();
  $("send").hidden = true; $("stop").hidden = false;
  const begun = performance.now();
  let first = 0, tokens = 0;
  try {
    const r = await fetch("/v1/chat/completions", {method: "POST", headers: headers(), body, signal: stopper.signal});
    if (!r.ok) throw new Error((await r.json().catch(() => null))?.error?.message ?? `The server answered with status ${r.status}.`);
    for await (const e of events(r.body)) {
      if (e.error) throw new Error(e.error.message);
      const piece = e.choices[0]?.delta?.content;
      if (e.usage) tokens = e.usage.completion_tokens;
      if (!piece) continue;
      first ||= performance.now();
      m.text += piece;
      const low = $("messages").scrollHeight - $("messages").scrollTop - $("messages").clientHeight < 80;
      place.innerHTML = markdown(m.text);
      if (low) $("messages").scrollTop = $("messages").scrollHeight;
    }
  } catch (e) {
    if (e.name !== "AbortError") m.error = e instanceof TypeError ? "The server cannot be reached." : e.message;
    else m.note = "stopped";
  }
  if (first && tokens > 1) {
    const rate = (tokens - 1) / ((performance.now() - first) / 1000);
    m.note = `${tokens} tokens, ${rate.toFixed(1)} a second, first after ${((first - begun) / 1000).toFixed(2)} s`;
  }
  stopper = null;
  $("send").hidden = false; $("stop").hidden = true;
  keep(); show();
  $("text").focus();
}
async function* events(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const {value, done} = await reader.read();
    if (done) return;
    held += value;
    for (let at; (at = held.indexOf("\n\n")) >= 0; held = held.slice(at + 2)) {
      const data = held.slice(0, at).replace(/^data: /, "");
      if (data === "[DONE]") return;
      yield JSON.parse(data);
    }
  }
}
function send() {
  const text = $("text").value.trim();
  if (stopper || !text && !waiting.length) return;
  chat.messages.push({role: "user", text, images: waiting});
  waiting = [];
  $("text").value = "";
  grow(); showPictures(); say("");
  answer();
}
function grow() { $("text").style.height = "auto"; $("text").style.height = $("text").scrollHeight + "px"; }

// ---- what people do
$("ask").onsubmit = e => { e.preventDefault(); send(); };
$("stop").onclick = () => stopper?.abort();
$("file").onchange = async e => { await add(e.target.files); e.target.value = ""; };
$("text").oninput = grow;
$("text").onkeydown = e => {
  if (e.key === "Enter" && !e.shiftKey && !e.isComposing) { e.preventDefault(); send(); }
  if (e.key === "ArrowUp" && !$("text").value && !stopper) {
    const i = chat.messages.findLastIndex(m => m.role === "user");
    if (i >= 0) { e.preventDefault(); edit(i); }
  }
};
document.onkeydown = e => { if (e.key === "Escape") stopper?.abort(); };
document.onpaste = e => {
  const files = [...e.clipboardData.files].filter(f => f.type.startsWith("image/"));
  if (files.length) { e.preventDefault(); add(files); }
};
document.ondragover = e => { e.preventDefault(); document.body.classList.add("over"); };
document.ondragleave = e => { if (!e.relatedTarget) document.body.classList.remove("over"); };
document.ondrop = e => { e.preventDefault(); document.body.classList.remove("over"); add(e.dataTransfer.files); };
$("fresh").onclick = () => { stopper?.abort(); chat = fresh(); show(); showChats(); $("text").focus(); };
$("forget").onclick = async () => { if (confirm("Forget all chats in this browser?")) { await store.clear(); $("fresh").onclick(); } };
$("export").onclick = async () => {
  const a = make("a", {href: URL.createObjectURL(new Blob([JSON.stringify(await store.all(), null, 1)], {type: "application/json"})), download: "gollava-chats.json"});
  a.click();
  URL.revokeObjectURL(a.href);
};
for (const id of ["system", "temperature", "top_p", "max_tokens", "seed"]) {
  $(id).value = localStorage.getItem(id) ?? $(id).value;
  $(id).onchange = () => localStorage.setItem(id, $(id).value);
}
$("key").onchange = models;
$("panel").onsubmit = e => e.preventDefault();

async function models() {
  try {
    const r = await fetch("/v1/models", {headers: headers()});
    if (r.status === 401) { $("settings").open = true; return say("This server asks for an API key: see Settings."); }
    const list = (await r.json()).data.filter(m => m.chats); // others embed or draw
    $("model").replaceChildren(...list.map(m => {
      const o = make("option", {textContent: m.id});
      o.dataset.videos = m.videos;
      return o;
    }));
    say(list.length ? "" : "This server has no model that chats.");
  } catch {
    say("The server cannot be reached.");
  }
}
models();
store.all().then(all => { // go on where the last visit ended
  const last = all.sort((a, b) => b.time - a.time)[0];
  if (last && !chat.messages.length) { chat = last; show(); }
  showChats();
}).catch(() => say("This browser keeps no chats."));
