"use strict";
// A cortex that can be turned: WebGL, no library, nothing evaluated, nothing fetched.
(function () {
  const box = document.getElementById("turning");
  const holder = document.getElementById("turning-data");
  if (!box || !holder) return;
  const canvas = box.querySelector("canvas");
  const gl = canvas.getContext("webgl", { antialias: true, preserveDrawingBuffer: true });
  if (!gl) return; // the pictures below say the same
  const data = JSON.parse(holder.textContent);

  function bytes(text) {
    const raw = atob(text);
    const out = new Uint8Array(raw.length);
    for (let i = 0; i < raw.length; i++) out[i] = raw.charCodeAt(i);
    return out.buffer;
  }
  const surfaces = {
    inflated: Float32Array.from(new Int16Array(bytes(data.inflated)), (x) => x / 100),
    folded: Float32Array.from(new Int16Array(bytes(data.folded)), (x) => x / 100),
  };
  const faces = new Uint16Array(bytes(data.faces));
  const sulcus = new Uint8Array(bytes(data.sulcus));
  const value = new Uint8Array(bytes(data.value));
  const label = new Uint8Array(bytes(data.label));
  const n = sulcus.length;

  function normals(points) {
    const out = new Float32Array(3 * n);
    for (let f = 0; f < faces.length; f += 3) {
      const [a, b, c] = [3 * faces[f], 3 * faces[f + 1], 3 * faces[f + 2]];
      const u = [0, 1, 2].map((k) => points[b + k] - points[a + k]);
      const v = [0, 1, 2].map((k) => points[c + k] - points[a + k]);
      const x = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
      for (const i of [a, b, c]) for (let k = 0; k < 3; k++) out[i + k] += x[k];
    }
    return out;
  }

  function shader(kind, source) {
    const made = gl.createShader(kind);
    gl.shaderSource(made, source);
    gl.compileShader(made);
    return made;
  }
  const program = gl.createProgram();
  gl.attachShader(program, shader(gl.VERTEX_SHADER,
    "attribute vec3 place; attribute vec3 normal; attribute vec3 colour;" +
    "uniform mat3 turn; uniform vec2 size; varying vec3 shade; varying float facing;" +
    "void main() { vec3 p = turn * place; vec3 m = normalize(turn * normal);" +
    "facing = m.z; shade = colour; gl_Position = vec4(p.xy * size, -p.z / 400.0, 1.0); }"));
  gl.attachShader(program, shader(gl.FRAGMENT_SHADER,
    "precision mediump float; varying vec3 shade; varying float facing;" +
    "void main() { gl_FragColor = vec4(shade * (0.45 + 0.55 * max(facing, 0.0)), 1.0); }"));
  gl.linkProgram(program);
  gl.useProgram(program);
  gl.enable(gl.DEPTH_TEST);
  const buffers = {};
  for (const name of ["place", "normal", "colour"]) {
    buffers[name] = gl.createBuffer();
    const at = gl.getAttribLocation(program, name);
    gl.bindBuffer(gl.ARRAY_BUFFER, buffers[name]);
    gl.enableVertexAttribArray(at);
    gl.vertexAttribPointer(at, 3, gl.FLOAT, false, 0, 0);
  }
  gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
  gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, faces, gl.STATIC_DRAW);

  const state = { azimuth: -90, elevation: 0, kind: "inflated", from: 0, turn: null };
  let points;

  function fill(name, values) {
    gl.bindBuffer(gl.ARRAY_BUFFER, buffers[name]);
    gl.bufferData(gl.ARRAY_BUFFER, values, gl.STATIC_DRAW);
  }
  function reshape() {
    points = surfaces[state.kind];
    fill("place", points);
    fill("normal", normals(points));
  }
  function recolour() {
    const out = new Float32Array(3 * n);
    const last = data.scale.length - 1;
    for (let i = 0; i < n; i++) {
      const p = value[i] / 255;
      const share = Math.min(p / data.limit, 1);
      const pale = sulcus[i] ? 0.8 : 0.92;
      const seen = p < state.from || p === 0 ? 0 : Math.min(share / 0.15, 1);
      const colour = data.scale[Math.round(share * last)];
      for (let k = 0; k < 3; k++) out[3 * i + k] = seen * colour[k] / 255 + (1 - seen) * pale;
    }
    fill("colour", out);
  }
  function turned() {
    const a = (state.azimuth * Math.PI) / 180, e = (state.elevation * Math.PI) / 180;
    const toward = [Math.sin(a) * Math.cos(e), -Math.cos(a) * Math.cos(e), Math.sin(e)];
    const right = [Math.cos(a), Math.sin(a), 0];
    const up = [
      toward[1] * right[2] - toward[2] * right[1],
      toward[2] * right[0] - toward[0] * right[2],
      toward[0] * right[1] - toward[1] * right[0],
    ];
    return [right, up, toward];
  }
  function draw() {
    const ratio = window.devicePixelRatio || 1;
    canvas.width = Math.round(canvas.clientWidth * ratio);
    canvas.height = Math.round(canvas.clientHeight * ratio);
    gl.viewport(0, 0, canvas.width, canvas.height);
    gl.clearColor(1, 1, 1, 1);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    state.turn = turned();
    const [r, u, t] = state.turn;
    const matrix = [r[0], u[0], t[0], r[1], u[1], t[1], r[2], u[2], t[2]];
    gl.uniformMatrix3fv(gl.getUniformLocation(program, "turn"), false, matrix);
    gl.uniform2fv(gl.getUniformLocation(program, "size"), scale());
    gl.drawElements(gl.TRIANGLES, faces.length, gl.UNSIGNED_SHORT, 0);
  }
  function scale() {
    const reach = state.kind === "inflated" ? 125 : 95;
    const wide = canvas.clientWidth / canvas.clientHeight;
    return [1 / (reach * Math.max(wide, 1)), 1 / (reach * Math.max(1 / wide, 1))];
  }
  let waiting = false;
  function redraw() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; draw(); });
  }

  const said = box.querySelector(".hover");
  const quiet = said.textContent;
  function point(event) {
    const frame = canvas.getBoundingClientRect();
    const x = (2 * (event.clientX - frame.left)) / frame.width - 1;
    const y = 1 - (2 * (event.clientY - frame.top)) / frame.height;
    const [r, u, t] = state.turn, [sx, sy] = scale();
    let best = -1, front = -1e9;
    for (let i = 0; i < n; i++) {
      const p = points.subarray(3 * i, 3 * i + 3);
      const dx = (p[0] * r[0] + p[1] * r[1] + p[2] * r[2]) - x / sx;
      const dy = (p[0] * u[0] + p[1] * u[1] + p[2] * u[2]) - y / sy;
      const near = dx * dx + dy * dy;
      if (near > 16) continue;
      const depth = p[0] * t[0] + p[1] * t[1] + p[2] * t[2] - near;
      if (depth > front) { front = depth; best = i; }
    }
    if (best < 0) { said.textContent = quiet; return; }
    const region = label[best];
    const here = Math.round((100 * value[best]) / 255);
    said.textContent = region === 255
      ? "in no named region; this place: " + here + " %"
      : data.names[region] + ": " + data.said[region] + "; this place: " + here + " %";
  }

  let held = null;
  canvas.addEventListener("pointerdown", (event) => {
    held = [event.clientX, event.clientY, state.azimuth, state.elevation];
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (held) {
      state.azimuth = held[2] - 0.5 * (event.clientX - held[0]);
      state.elevation = Math.max(-90, Math.min(90, held[3] + 0.5 * (event.clientY - held[1])));
      redraw();
    } else if (state.turn) {
      point(event);
    }
  });
  canvas.addEventListener("pointerup", () => { held = null; });
  canvas.addEventListener("pointercancel", () => { held = null; });
  canvas.addEventListener("pointerleave", () => { if (!held) said.textContent = quiet; });
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [15, 0], ArrowRight: [-15, 0], ArrowUp: [0, 15], ArrowDown: [0, -15] };
    const move = step[event.key];
    if (!move) return;
    event.preventDefault();
    state.azimuth += move[0];
    state.elevation = Math.max(-90, Math.min(90, state.elevation + move[1]));
    redraw();
  });
  for (const button of box.querySelectorAll("button")) {
    button.addEventListener("click", () => {
      [state.azimuth, state.elevation] = data.views[button.value];
      redraw();
    });
  }
  const slider = box.querySelector("input[type=range]");
  const told = box.querySelector("output");
  slider.addEventListener("input", () => {
    state.from = slider.value / 100;
    told.textContent = slider.value + " %";
    recolour();
    redraw();
  });
  box.querySelector("input[type=checkbox]").addEventListener("change", (event) => {
    state.kind = event.target.checked ? "folded" : "inflated";
    reshape();
    redraw();
  });
  // begin where the answer is: on the side of the largest value
  let most = 0;
  for (let i = 1; i < n; i++) if (value[i] > value[most]) most = i;
  state.azimuth = most < n / 2 ? -90 : 90;
  box.hidden = false;
  reshape();
  recolour();
  draw();
  window.addEventListener("resize", redraw);
})();
