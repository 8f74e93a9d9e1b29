"""The page of the viewer: style and script in one text, without any library."""

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>__TITLE__</title>
<style>
  :root { color-scheme: light; --ink: #27272a; --pale: #71717a; --line: #e4e4e7; }
  body { margin: 0; padding: 20px 24px; font: 14px/1.45 system-ui, sans-serif;
         color: var(--ink); background: #fff; }
  h1 { font-size: 18px; font-weight: 600; margin: 0 0 2px; }
  p { margin: 0 0 14px; color: var(--pale); font-size: 12.5px; max-width: 90ch; }
  #sheet { overflow-x: auto; }
  table { border-collapse: collapse; }
  thead th { position: sticky; top: 0; background: #fffffff0; font-weight: 500; padding: 6px 4px;
             z-index: 1; }
  tbody th { font-weight: 400; font-size: 11px; color: var(--pale); text-align: right;
             padding: 0 10px 0 0; white-space: pre-line; max-width: 130px;
             overflow-wrap: anywhere; }
  td { padding: 3px; position: relative; vertical-align: middle; text-align: center; }
  canvas { display: block; cursor: grab; touch-action: none; border-radius: 6px; }
  canvas:active { cursor: grabbing; }
  canvas:hover { background: #fafafa; }
  canvas.close { outline: 1px solid var(--line); }
  img { display: block; border: 1px solid var(--line); border-radius: 6px; margin: auto; }
  .value { position: absolute; right: 9px; bottom: 5px; font-size: 11.5px; color: var(--pale);
           font-variant-numeric: tabular-nums; pointer-events: none; }
  .none { color: #a1a1aa; font-size: 12px; }
  #bar { display: flex; gap: 18px; align-items: center; margin-bottom: 10px; font-size: 12.5px;
         color: var(--pale); flex-wrap: wrap; }
  button { font: inherit; padding: 3px 12px; border: 1px solid var(--line); border-radius: 6px;
           background: #fff; color: var(--ink); cursor: pointer; }
  button:hover { background: #f4f4f5; }
  #scale { display: inline-flex; align-items: center; gap: 6px; }
  #scale[hidden] { display: none; }
  #scale i { display: inline-block; width: 150px; height: 9px; border-radius: 5px; }
</style>
<h1>__TITLE__</h1>
<p>Objects: __NOTE__. One camera and scale for all__NUMBERS__.</p>
<div id="bar">
  <button id="reset">Reset</button><button id="spin">Turn</button>
  <span>Drag to turn, wheel with Ctrl to zoom, double-click to reset.</span>
  <span id="scale" hidden>0 <i></i> <b></b> 100 × distance to the other cloud</span>
</div>
<div id="sheet"></div>
<script type="application/json" id="data">__DATA__</script>
<script>
"use strict";
const sheet = JSON.parse(document.getElementById("data").textContent);
const TONES = 12, DISTANCE = 4, SIZE = 190;
const camera = { turn: 0, tilt: 0, zoom: 1 };
const unpack = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer;
const panels = [];

// A ball is drawn once per color, haze and size, then copied.
const sprites = new Map();
function ball(color, tone, radius) {
  const key = color.join() + "/" + tone + "/" + radius;
  let sprite = sprites.get(key);
  if (sprite) return sprite;
  if (sprites.size > 4000) sprites.clear();
  const side = 2 * radius + 2, haze = 0.34 * (1 - tone / (TONES - 1));
  const mix = (light, shine) => "rgb(" + color.map((c) => Math.round(Math.min(255,
    (c * light + 255 * shine) * (1 - haze) + 245 * haze))).join() + ")";
  sprite = document.createElement("canvas");
  sprite.width = sprite.height = Math.ceil(side);
  const pen = sprite.getContext("2d"), middle = side / 2;
  const glow = pen.createRadialGradient(middle - 0.36 * radius, middle - 0.5 * radius, 0,
                                        middle, middle, radius * 1.05);
  glow.addColorStop(0, mix(1.05, 0.3));
  glow.addColorStop(0.3, mix(1.02, 0.03));
  glow.addColorStop(0.75, mix(0.78, 0));
  glow.addColorStop(1, mix(0.5, 0));
  pen.fillStyle = glow;
  pen.beginPath();
  pen.arc(middle, middle, radius, 0, 7);
  pen.fill();
  sprites.set(key, sprite);
  return sprite;
}

function draw(panel) {
  const { canvas, points, levels, frame, color } = panel, count = points.length / 3;
  const pixels = window.devicePixelRatio || 1;
  const width = Math.round(panel.width * pixels), height = Math.round(panel.height * pixels);
  if (canvas.width !== width) { canvas.width = width; canvas.height = height; }
  const pen = canvas.getContext("2d");
  pen.clearRect(0, 0, width, height);
  const a = (frame.azimuth + camera.turn) * Math.PI / 180;
  const e = Math.max(-89, Math.min(89, frame.elevation + camera.tilt)) * Math.PI / 180;
  const ca = Math.cos(a), sa = Math.sin(a), ce = Math.cos(e), se = Math.sin(e);
  const unit = height / (2 * frame.height) * camera.zoom;
  const radius = Math.max(1, Math.round(panel.radius * unit * 2) / 2);
  const order = panel.order, depth = panel.depth, xs = panel.xs, ys = panel.ys;
  const seen = [0, 0, 0];
  const project = (place, first) => {
    const x = place[first], y = place[first + 1], z = place[first + 2];
    const back = sa * x + ca * z, near = se * y + ce * back, scale = DISTANCE / (DISTANCE - near);
    seen[0] = (ca * x - sa * z) * scale;
    seen[1] = (ce * y - se * back) * scale;
    seen[2] = near;
  };
  project(frame.focus, 0);
  const [left, top] = seen;
  for (let i = 0; i < count; i++) {
    project(points, 3 * i);
    depth[i] = seen[2];
    xs[i] = width / 2 + (seen[0] - left) * unit;
    ys[i] = height / 2 - (seen[1] - top) * unit;
  }
  order.sort((i, j) => depth[i] - depth[j]);
  for (const i of order) {
    const tone = Math.max(0, Math.min(TONES - 1, Math.round((depth[i] + 1) / 2 * (TONES - 1))));
    const sprite = ball(levels ? sheet.scale[levels[i]] : color, tone, radius);
    pen.drawImage(sprite, xs[i] - sprite.width / 2, ys[i] - sprite.height / 2);
  }
}

let waiting = false;
function redraw() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; panels.forEach((p) => p.seen && draw(p)); });
}
function reset() { Object.assign(camera, { turn: 0, tilt: 0, zoom: 1 }); redraw(); }

function listen(canvas) {
  let last = null;
  canvas.addEventListener("pointerdown", (event) => {
    last = [event.clientX, event.clientY];
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!last) return;
    camera.turn -= (event.clientX - last[0]) * 0.6;
    camera.tilt = Math.max(-110, Math.min(70, camera.tilt + (event.clientY - last[1]) * 0.6));
    last = [event.clientX, event.clientY];
    redraw();
  });
  for (const end of ["pointerup", "pointercancel"])
    canvas.addEventListener(end, () => { last = null; });
  canvas.addEventListener("dblclick", reset);
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    camera.zoom = Math.max(0.5, Math.min(8, camera.zoom * Math.exp(-event.deltaY / 400)));
    redraw();
  }, { passive: false });
}

const watcher = new IntersectionObserver((entries) => {
  for (const entry of entries) entry.target.panel.seen = entry.isIntersecting;
  redraw();
}, { rootMargin: "200px" });

function cell(panel) {
  const td = document.createElement("td");
  if (panel.image) {
    const image = new Image(150, 150);
    image.src = panel.image;
    image.alt = "input";
    td.append(image);
  } else if (panel.points) {
    const canvas = document.createElement("canvas"), frame = panel.frame || sheet.frame;
    const steps = new Int16Array(unpack(panel.points)), count = steps.length / 3;
    const points = Float32Array.from(steps, (step) => step / sheet.steps);
    const height = SIZE * Math.min(1, sheet.frame.height / sheet.frame.width);
    const width = height * frame.width / frame.height;
    canvas.style.width = width + "px";
    canvas.style.height = height + "px";
    if (frame.height < 0.9 * sheet.frame.height) canvas.className = "close";
    const state = { canvas, points, frame, width, height, color: panel.color, seen: false,
      radius: panel.radius, levels: panel.levels && new Uint8Array(unpack(panel.levels)),
      order: Array.from({ length: count }, (_, i) => i), depth: new Float32Array(count),
      xs: new Float32Array(count), ys: new Float32Array(count) };
    canvas.panel = state;
    panels.push(state);
    listen(canvas);
    watcher.observe(canvas);
    td.append(canvas);
  } else td.className = "none";
  const value = document.createElement("span");
  value.className = td.className === "none" ? "" : "value";
  value.textContent = panel.caption;
  td.append(value);
  return td;
}

const table = document.createElement("table"), head = table.createTHead().insertRow();
for (const name of ["", ...sheet.columns]) {
  const th = document.createElement("th");
  th.textContent = name;
  head.append(th);
}
const body = table.createTBody();
sheet.panels.forEach((row, number) => {
  const tr = body.insertRow(), th = document.createElement("th");
  th.textContent = sheet.rows[number];
  tr.append(th, ...row.map(cell));
});
document.getElementById("sheet").append(table);
if (sheet.reach !== null) {
  const scale = document.getElementById("scale");
  scale.hidden = false;
  scale.querySelector("b").textContent = sheet.reach;
  scale.querySelector("i").style.background =
    "linear-gradient(90deg," + sheet.scale.map((c) => "rgb(" + c.join() + ")").join() + ")";
}
let spinning = false;
function spin() { if (spinning) { camera.turn += 0.7; redraw(); requestAnimationFrame(spin); } }
document.getElementById("spin").onclick = () => { spinning = !spinning; spin(); };
document.getElementById("reset").onclick = () => { spinning = false; reset(); };
window.addEventListener("resize", redraw);
</script>
</html>
"""
