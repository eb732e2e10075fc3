// Draws the snapshots that /events sends. Shows only what the glasses say: a tap on Mute changes nothing here by itself.
"use strict";

const $ = (id) => document.getElementById(id);
const COLOURS = ["#58a6e8", "#e0a33e", "#b07ce8", "#3fb37f", "#e8738a", "#7fd1d8", "#c9c46a", "#9aa7b4"];
const SVG = "http://www.w3.org/2000/svg";
const stages = new Map(); // a stage keeps its colour
let muted = false;
let drawnTurns = "";

function element(name, attributes = {}, text = "") {
  const made = document.createElement(name);
  Object.assign(made, attributes);
  made.textContent = text; // never markup: answers are a model's own words
  return made;
}

function drawing(name, attributes, text = "") {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
}

function colour(stage) {
  if (!stages.has(stage)) stages.set(stage, COLOURS[stages.size % COLOURS.length]);
  return stages.get(stage);
}

function waterfall(turn) {
  const from = Math.min(0, ...turn.bars.map((bar) => bar.from_ms));
  const to = Math.max(1, turn.first_sound_ms ?? 0, ...turn.bars.map((bar) => bar.to_ms));
  const wide = innerWidth < 600 ? 420 : 620; // in units of the text: on a phone the drawing shrinks, not the words
  const x = (ms) => 100 + ((ms - from) / (to - from)) * (wide - 160);
  const height = 18 * turn.bars.length + 18;
  const picture = drawing("svg", { viewBox: `0 0 ${wide} ${height}`, role: "img" });
  picture.append(drawing("line", { class: "zero", x1: x(0), x2: x(0), y1: 0, y2: height - 16 }));
  turn.bars.forEach((bar, i) => {
    const width = Math.max(1.5, x(bar.to_ms) - x(bar.from_ms));
    picture.append(drawing("rect", { x: x(bar.from_ms), y: 18 * i + 2, width, height: 13, rx: 2, fill: colour(bar.stage) }));
    picture.append(drawing("text", { x: 94, y: 18 * i + 13, "text-anchor": "end" }, bar.stage));
    picture.append(drawing("text", { x: x(bar.to_ms) + 5, y: 18 * i + 13 }, Math.round(bar.to_ms - bar.from_ms)));
  });
  if (turn.first_sound_ms !== null) {
    const at = x(turn.first_sound_ms);
    picture.append(drawing("line", { class: "sound", x1: at, x2: at, y1: 0, y2: height - 16 }));
    picture.append(drawing("text", { x: at, y: height - 3, "text-anchor": "middle" }, `first sound ${Math.round(turn.first_sound_ms)}`));
  }
  picture.append(drawing("text", { x: x(0), y: height - 3, "text-anchor": "middle" }, "0"));
  return picture;
}

function ago(nowNs, thenNs) {
  const seconds = Math.max(0, Math.round((nowNs - thenNs) / 1e9));
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min`;
}

function drawTurns(status) {
  const told = JSON.stringify(status.turns);
  if (told === drawnTurns) return;
  drawnTurns = told;
  const drawn = [...status.turns].reverse().map((turn) => {
    const box = element("div", { className: "turn" });
    box.append(element("p", { className: "cause" }, `turn ${turn.id}, ${turn.cause}, ${turn.outcome}`));
    box.append(element("p", {}, turn.answer || "…"));
    if (turn.bars.length) box.append(waterfall(turn));
    return box;
  });
  $("turns").replaceChildren(...(drawn.length ? drawn : [element("p", { className: "cause" }, "none yet")]));
}

function drawVitals(vitals) {
  const shed = vitals.shed.length ? `without ${vitals.shed.join(", ")}: ${vitals.why}` : "nothing shed";
  const number = (value, unit) => (value === null ? "unknown" : `${Math.round(value)} ${unit}`);
  const rows = [
    ["memory", `${number(vitals.rss_mb, "MB used")}, ${number(vitals.free_mb, "MB free")}`],
    ["heat", number(vitals.heat_c, "°C")],
    ["battery", vitals.battery_percent === null ? "none" : number(vitals.battery_percent, vitals.charging ? "%, charging" : "%")],
    ["load", shed, vitals.shed.length > 0],
    ["link", vitals.link],
    ["conversation", vitals.past_turns ? `${vitals.past_turns} turns known to the next one` : "none yet"],
    ["remembered", `${Math.round(vitals.remembered_s)} s as latents, ${vitals.remembered_mb.toFixed(1)} MB`],
    ["recording", vitals.recorded_mb === null ? "off" : `on, ${vitals.recorded_mb.toFixed(1)} MB`],
    ...Object.entries(vitals.counts).map(([name, n]) => [name.replaceAll("_", " "), String(n), n > 0]),
  ];
  $("vitals").replaceChildren(
    ...rows.flatMap(([name, text, bad]) => [element("dt", {}, name), element("dd", { className: bad ? "bad" : "" }, text)]),
  );
}

function drawGates(status) {
  $("gates").replaceChildren(
    ...[...status.gates].reverse().map((gate) => {
      const line = element("li");
      line.append(element("b", {}, `${gate.gate}: ${gate.decision} `));
      line.append(element("span", {}, `${gate.why}, ${ago(status.now_ns, gate.t_ns)} ago`));
      return line;
    }),
  );
}

function draw(status) {
  muted = status.muted;
  document.body.classList.remove("lost");
  document.body.classList.toggle("muted", muted);
  $("state").textContent = muted ? "muted: nothing is heard or seen" : status.state;
  $("mute").textContent = muted ? "Listen again" : "Mute";
  $("mute").setAttribute("aria-pressed", String(muted));
  $("microphone").value = status.microphone_dbfs;
  $("speaker").value = status.speaker_dbfs;
  shown.camera = status.has_camera;
  shown.hud = status.has_hud;
  drawGates(status);
  drawTurns(status);
  drawVitals(status.vitals);
}

const shown = { camera: false, hud: false };

// A picture at a time: the next is asked for when the last has come, so a slow phone gets fewer.
function follow(name, pauseMs) {
  const image = $(name);
  const next = () => setTimeout(load, pauseMs);
  const load = () => {
    image.hidden = !shown[name];
    $(`${name}-none`).hidden = shown[name];
    if (!shown[name] || document.hidden) return next();
    image.onload = image.onerror = next;
    image.src = `/${name}.jpg?${Date.now()}`;
  };
  load();
}

function post(path, body) {
  fetch(path, { method: "POST", body: JSON.stringify(body) }).then((answer) => answer.ok || lost()).catch(lost);
}

function lost() {
  document.body.classList.add("lost");
  $("state").textContent = "no connection: whether it listens is unknown";
}

$("mute").onclick = () => post("/mute", { muted: !muted });
$("wipe").onclick = () => {
  if (confirm("Forget all sound and sight of the last minutes?")) post("/wipe", {});
};
document.onkeydown = (event) => {
  if (event.key === "m" && !event.ctrlKey && !event.metaKey && !event.altKey) post("/mute", { muted: !muted });
};
const source = new EventSource("/events");
source.onmessage = (event) => draw(JSON.parse(event.data));
source.onerror = lost;
follow("camera", 400);
follow("hud", 400);
