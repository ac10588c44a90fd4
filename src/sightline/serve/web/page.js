// The demo page: one picture at a time to /predict, or camera frames to /ws. No library, nothing from elsewhere.
"use strict";

const at = (id) => document.getElementById(id);
const COLOURS = { decode: "#2a6fdb", place: "#29a387", queue: "#b8bfc6", infer: "#e8871e", answer: "#8e4ec6" };
const CAMERA_WIDTH = 640;
const SHOWN_CLASSES = 5;
let socket = null;
let stream = null;

function say(text, bad = false) {
  at("state").textContent = text;
  at("state").classList.toggle("bad", bad);
}

function headers() {
  const token = at("token").value;
  return token ? { authorization: `Bearer ${token}` } : {};
}

async function list() {
  try {
    const answer = await fetch("models", { headers: headers() });
    const told = await answer.json();
    if (!answer.ok) throw new Error(told.error);
    const chosen = at("model").value;
    const rows = told.models.filter((row) => row.default);
    at("model").replaceChildren(...rows.map((row) => new Option(`${row.name} (${row.version})`, row.name)));
    if (rows.some((row) => row.name === chosen)) at("model").value = chosen;
    say("ready");
  } catch (error) {
    say(error.message, true);
    if (!at("token").value) setTimeout(list, 1500);
  }
}

async function ask(file) {
  stop();
  say("asking");
  const began = performance.now();
  try {
    const answer = await fetch(`predict/${encodeURIComponent(at("model").value)}?draw=jpeg`, {
      method: "POST", body: file, headers: { ...headers(), "content-type": file.type || "application/octet-stream" },
    });
    const told = await answer.json();
    if (!answer.ok) throw new Error(told.error);
    show(told, performance.now() - began);
    say("answered");
  } catch (error) {
    say(error.message, true);
  }
}

function show(told, ms) {
  if (told.drawn) {
    at("overlay").src = told.drawn;
    at("overlay").hidden = false;
  }
  at("latency").textContent = ms.toFixed(ms < 10 ? 1 : 0);
  const total = Object.values(told.ms).reduce((a, b) => a + b, 0) || 1;
  at("stages").replaceChildren(...Object.entries(told.ms).map(([stage, value]) => {
    const bar = document.createElement("i");
    bar.style.width = `${(100 * value) / total}%`;
    bar.style.background = COLOURS[stage] || "#888";
    bar.title = `${stage}: ${value.toFixed(1)} ms`;
    return bar;
  }));
  at("rate").textContent = Object.entries(told.ms).map(([k, v]) => `${k} ${v.toFixed(1)}`).join(" · ");
  at("classes").tBodies[0].replaceChildren(...best(told.results).map(([name, score, text]) => {
    const row = document.createElement("tr");
    const label = row.insertCell();
    const bar = document.createElement("b");
    bar.style.width = `${100 * Math.min(1, score)}%`;
    label.append(name, bar);
    row.insertCell().textContent = text;
    return row;
  }));
  const plain = JSON.stringify(told.results, (key, value) => (key === "counts" ? "…" : value), 1);
  at("answer").textContent = plain.length > 4000 ? `${plain.slice(0, 4000)}…` : plain;
}

// Classes with their best score: of a whole picture, or of the rows found in it with their number.
function best(results) {
  const found = new Map();
  for (const result of Object.values(results)) {
    if (result.scores) {
      Object.entries(result.scores).forEach(([name, score]) => found.set(name, [score, score.toFixed(3)]));
    } else if (Array.isArray(result)) {
      const counts = {};
      for (const row of result) {
        counts[row.class] = (counts[row.class] || 0) + 1;
        const score = Math.max(row.score ?? 1, (found.get(row.class) || [0])[0]);
        found.set(row.class, [score, `${score.toFixed(2)} ×${counts[row.class]}`]);
      }
    }
  }
  return [...found].map(([name, [score, text]]) => [name, score, text])
    .sort((a, b) => b[1] - a[1]).slice(0, SHOWN_CLASSES);
}

async function camera() {
  if (stream) return stop();
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { width: CAMERA_WIDTH } });
  } catch (error) {
    return say(`camera: ${error.message}`, true);
  }
  at("video").srcObject = stream;
  at("video").hidden = false;
  await at("video").play();
  at("camera").textContent = "stop the camera";
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const folder = location.pathname.replace(/[^/]*$/, "");
  const token = at("token").value;
  socket = new WebSocket(
    `${scheme}://${location.host}${folder}ws/${encodeURIComponent(at("model").value)}?draw=jpeg`,
    token ? ["sightline", `bearer.${token}`] : ["sightline"],
  );
  let sent = 0;
  socket.onopen = () => { say("live"); sent = performance.now(); send(); };
  socket.onmessage = (event) => {
    const told = JSON.parse(event.data);
    if (told.error) say(told.error, true);
    else show(told, performance.now() - sent);
    sent = performance.now();
    send();
  };
  socket.onclose = (event) => { if (stream) { stop(); say(event.reason || "the stream was closed", true); } };
}

// One frame is on its way at a time, so what is shown is never old.
function send() {
  if (!stream || socket.readyState !== WebSocket.OPEN) return;
  const video = at("video");
  const canvas = document.createElement("canvas");
  canvas.width = CAMERA_WIDTH;
  canvas.height = Math.round((CAMERA_WIDTH * video.videoHeight) / video.videoWidth) || 480;
  canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
  canvas.toBlob((blob) => { if (socket && socket.readyState === WebSocket.OPEN) socket.send(blob); }, "image/jpeg", 0.85);
}

function stop() {
  const [tracks, open] = [stream ? stream.getTracks() : [], socket];
  stream = socket = null;
  tracks.forEach((track) => track.stop());
  if (open) open.close();
  at("video").hidden = true;
  at("camera").textContent = "use the camera";
}

function take(files) {
  const file = [...files].find((one) => one.type.startsWith("image/")) || files[0];
  if (file) ask(file);
}

const drop = at("drop");
["dragover", "dragenter"].forEach((name) => drop.addEventListener(name, (event) => {
  event.preventDefault();
  drop.classList.add("over");
}));
["dragleave", "drop"].forEach((name) => drop.addEventListener(name, () => drop.classList.remove("over")));
drop.addEventListener("drop", (event) => { event.preventDefault(); take(event.dataTransfer.files); });
drop.addEventListener("keydown", (event) => { if (event.key === "Enter" && event.target === drop) at("file").click(); });
document.addEventListener("paste", (event) => take(event.clipboardData.files));
at("choose").addEventListener("click", () => at("file").click());
at("file").addEventListener("change", () => { take(at("file").files); at("file").value = ""; });
at("camera").addEventListener("click", camera);
at("token").addEventListener("change", list);
list();
