// Draws the story that cache_animation.py tells: the replay of the cache and all sentences come from there.

const SPEEDS = [2, 8, 32, 128]; // accesses a second
const PALE = 0.5; // how strongly a line that is in the cache is tinted
const STRIP = 58; // pixels: the height of the strip, and the room left of it and of the cache

const make = (tag, parent, properties = {}) => parent.appendChild(Object.assign(document.createElement(tag), properties));
const several = (count, word, more = word + "s") => `${count} ${count === 1 ? word : more}`;
const between = (low, value, high) => Math.min(Math.max(value, low), high);

function render({ model, el }) {
  const story = model.get("story"), total = story.array.length, memory = story.levels;
  let at = between(0, model.get("step"), total), playing = false, timer = 0, saving = 0, place = null;

  // --- what is true after `at` accesses ---------------------------------------------------------------------
  function contents() { // the line in each slot, when it was last used, and the slots of the latest access
    const held = new Array(story.sets * story.ways).fill(-1), used = held.slice(), touched = [];
    for (let i = 0; i < story.touches.length && story.touches[i][0] < at; i++) {
      const [access, slot, line] = story.touches[i];
      held[slot] = line;
      used[slot] = i;
      if (access === at - 1) touched.push(slot);
    }
    return { held, used, touched };
  }
  function counts() { // hits and misses of each array, and of all together
    const rows = [...story.arrays, { name: "all" }].map(({ name }) => ({ name, hits: 0, misses: 0 }));
    for (let i = 0; i < at; i++)
      for (const row of [rows[story.array[i]], rows.at(-1)]) story.served[i] ? row.misses++ : row.hits++;
    return rows;
  }

  // --- the page -----------------------------------------------------------------------------------------------
  const root = make("div", el, { className: "cache-animation" });
  const bar = make("div", root, { className: "bar", role: "group", ariaLabel: "Play the accesses" });
  const button = (textContent, ariaLabel, onclick) => make("button", bar, { type: "button", textContent, ariaLabel, onclick });
  button("◀ Back", "One access back", () => go(at - 1));
  const play = button("▶ Play", "Play", () => playing ? pause() : start());
  button("Step ▶", "One access on", () => go(at + 1));
  button("Next miss ✕", "On to the next miss", () => {
    const next = story.served.findIndex((by, i) => i >= at && by > 0);
    go(next < 0 ? total : next + 1);
  });
  const slider = make("input", bar, { type: "range", min: 0, max: total, ariaLabel: "Accesses made", oninput: () => go(+slider.value) });
  const speed = make("select", make("label", bar, { textContent: "Speed " }));
  for (const value of SPEEDS) make("option", speed, { value, textContent: `${value} a second` });
  // Nothing moves until it is told to; and it moves slowly for those who asked for less motion.
  speed.value = matchMedia("(prefers-reduced-motion: reduce)").matches ? SPEEDS[0] : SPEEDS[1];
  for (const control of bar.querySelectorAll("button, input, select"))
    control.dataset.lmSuppressShortcuts = "true"; // its keys are no commands of JupyterLab: x would cut the cell
  const said = make("div", root, { className: "said", role: "status" });
  const loops = make("span", said, { className: "loops" }), words = make("span", said);
  const scene = make("canvas", root, { role: "img" }), strip = make("canvas", root, { role: "img", className: "strip" });
  strip.onclick = event => go(Math.ceil((event.offsetX - STRIP) / place.each));
  const table = make("table", root);
  make("div", root, { className: "legend", textContent: [
    "● hit", "✕ miss", memory > 1 && "╱ miss that a lower level serves", "tinted: in the cache",
    "thick lines: elements that come together, a cache line", story.ways > 1 && "▸ next to leave its set",
  ].filter(Boolean).join("   ") });
  function write({ held }) {
    const rows = counts(), all = rows.at(-1);
    said.ariaLive = playing ? "off" : "polite";
    loops.textContent = at ? story.loops[story.step[at - 1]] : "";
    words.textContent = at ? `Access ${at} of ${total}: ${story.said[at - 1]}.` : `No access yet. The cache is empty: ${story.cache}.`;
    slider.value = at;
    slider.ariaValueText = `${loops.textContent} ${words.textContent}`;
    play.textContent = playing ? "❚❚ Pause" : "▶ Play";
    play.ariaLabel = playing ? "Pause" : "Play";
    const names = held.map(line => line < 0 ? "empty" : story.label[line]);
    const inSet = set => `set ${set}: ${names.slice(set * story.ways, (set + 1) * story.ways).join("; ")}.`;
    scene.ariaLabel = `The arrays and the cache: ${Array.from({ length: story.sets }, (_, set) => inSet(set)).join(" ")}`;
    strip.ariaLabel = `${several(all.misses, "miss", "misses")} and ${several(all.hits, "hit")} so far, of ${total} accesses.`;
    const share = ({ hits, misses }) => hits + misses ? `${Math.round(100 * misses / (hits + misses))} %` : "";
    const texts = rows.map(row => [row.name, row.hits + row.misses, row.hits, row.misses, share(row)]);
    table.replaceChildren();
    for (const line of [["", "accesses", "● hits", "✕ misses", "missed"], ...texts]) {
      const row = make("tr", table);
      line.forEach((textContent, i) => make(i && line[0] ? "td" : "th", row, { textContent }));
    }
  }

  // --- where things are drawn -----------------------------------------------------------------------------------
  function layout(width) {
    const stacked = width < 620, left = stacked ? width : Math.floor(width * 0.58);
    let grids, bottom;
    for (let size = 26; size >= 2; size -= size > 8 ? 2 : 1) { // the largest cells with which all arrays fit
      let x = 0, y = 0, high = 0, fits = true;
      grids = story.arrays.map(array => {
        const rows = Math.ceil(array.lines.length / array.columns), wide = array.columns * size;
        if (x > 0 && x + wide > left - 16) { x = 0; y += high; high = 0; }
        const grid = { array, size, x: x + 2, y: y + 24 };
        fits &&= wide <= left - 16;
        high = Math.max(high, rows * size + 36);
        x += Math.max(wide, 90) + 28;
        return grid;
      });
      bottom = y + high;
      if (fits && bottom <= 460) break;
    }
    for (const grid of grids) Object.assign(grid, borders(grid));
    const x = (stacked ? 0 : left) + STRIP, y = (stacked ? bottom : 0) + 24, room = width - x - 4;
    const across = between(1, Math.floor(room / 26), story.ways), down = Math.ceil(story.ways / across); // the ways of a set
    const high = between(5, Math.floor(440 / (story.sets * down)), 30), wide = Math.min(150, Math.floor(room / across));
    const corner = slot => [x + (slot % story.ways % across) * wide,
      y + (Math.floor(slot / story.ways) * down + Math.floor(slot % story.ways / across)) * high];
    const height = Math.max(bottom, y + story.sets * down * high + 8), each = (width - STRIP - 4) / total;
    return { width, height, each, grids, cache: { x, y, wide, high, corner } };
  }
  const cornerIn = ({ array, size, x, y }) => cell => [x + (cell % array.columns) * size, y + Math.floor(cell / array.columns) * size];
  function borders(grid) { // thin between elements, thick around those of one cache line
    const thin = new Path2D(), thick = new Path2D(), { size, array: { lines, columns } } = grid, corner = cornerIn(grid);
    lines.forEach((line, cell) => {
      const [left, top] = corner(cell), last = cell === lines.length - 1;
      const edge = (path, x, y, dx, dy) => { path.moveTo(x, y); path.lineTo(x + dx, y + dy); };
      edge(cell % columns && lines[cell - 1] === line ? thin : thick, left, top, 0, size);
      edge(lines[cell - columns] === line ? thin : thick, left, top, size, 0);
      if ((cell + 1) % columns === 0 || last) edge(thick, left + size, top, 0, size);
      if (cell + columns >= lines.length) edge(thick, left, top + size, size, 0);
    });
    return { thin, thick };
  }

  // --- drawing ----------------------------------------------------------------------------------------------------
  function penOn(canvas, height) { // a clean canvas, as sharp as the screen, in the colours of the theme
    const ratio = window.devicePixelRatio || 1, ink = getComputedStyle(root).color;
    canvas.width = Math.round(place.width * ratio);
    canvas.height = Math.round(height * ratio);
    Object.assign(canvas.style, { width: `${place.width}px`, height: `${height}px` });
    const pen = canvas.getContext("2d"), dark = ink.match(/[\d.]+/g).slice(0, 3).every(part => part > 127); // light ink
    pen.scale(ratio, ratio);
    Object.assign(pen, { font: "13px system-ui, sans-serif", textBaseline: "middle", fillStyle: ink, strokeStyle: ink, lineCap: "round" });
    const { sky, blue, orange, vermillion } = story.colours;
    const colour = by => by === 0 ? (dark ? sky : blue) : by === memory ? vermillion : orange;
    return { pen, ink, colour, halo: dark ? "#000000" : "#ffffff" };
  }
  const tint = array => array < 0 ? "#888888" : story.array_colours[array % story.array_colours.length];
  function mark({ pen, colour, halo }, by, x, y, size) { // told by its form: dot, slash or cross
    const r = Math.max(3, size * 0.26);
    for (const [style, width] of [[halo, Math.max(4, size * 0.32)], [colour(by), Math.max(2, size * 0.16)]]) {
      pen.strokeStyle = pen.fillStyle = style;
      pen.lineWidth = width;
      pen.beginPath();
      if (by === 0) pen.arc(x, y, style === halo ? r + 1.5 : r, 0, 7);
      else { pen.moveTo(x - r, y + r); pen.lineTo(x + r, y - r); }
      if (by === memory) { pen.moveTo(x - r, y - r); pen.lineTo(x + r, y + r); }
      by === 0 ? pen.fill() : pen.stroke();
    }
  }
  function drawArray(on, grid, index, held) {
    const { pen, ink } = on, { array, size, x, y } = grid;
    const corner = cornerIn(grid), middle = cell => corner(cell).map(edge => edge + size / 2);
    Object.assign(pen, { fillStyle: ink, strokeStyle: ink, lineWidth: 1 });
    pen.fillText(`${array.name}  ${array.shape.join(" × ")}`, x, y - 12);
    Object.assign(pen, { fillStyle: tint(index), globalAlpha: PALE });
    array.lines.forEach((line, cell) => held.has(line) && pen.fillRect(...corner(cell), size, size));
    for (const [path, globalAlpha, lineWidth] of [[grid.thin, size > 5 ? 0.18 : 0, 1], [grid.thick, 0.75, 1.5]])
      Object.assign(pen, { globalAlpha, lineWidth }).stroke(path);
    const trail = []; // the latest accesses of this array, newest first
    for (let i = at - 1; i >= Math.max(0, at - 60) && trail.length < 10; i--) if (story.array[i] === index) trail.push(i);
    for (let i = trail.length - 1; i > 0; i--) {
      Object.assign(pen, { globalAlpha: 0.75 * (1 - i / trail.length), lineWidth: 2 });
      const [from, to] = [trail[i], trail[i - 1]].map(access => middle(story.cells[access][0]).join());
      pen.stroke(new Path2D(`M${from} L${to}`));
    }
    pen.globalAlpha = 1;
    const now = trail[0] === at - 1, by = story.served[trail[0]];
    for (const cell of trail.length ? story.cells[trail[0]] : []) {
      Object.assign(pen, { strokeStyle: now ? on.colour(by) : ink, lineWidth: now ? 3 : 1.5 });
      pen.strokeRect(...corner(cell), size, size);
      if (now) mark(on, by, ...middle(cell), size);
    }
  }
  function drawCache(on, { held, used, touched }) {
    const { pen, ink } = on, { x, y, wide, high, corner } = place.cache;
    Object.assign(pen, { fillStyle: ink, strokeStyle: ink, lineWidth: high > 8 ? 1 : 0.5 });
    pen.fillText(`cache  ${several(story.sets, "set")} × ${several(story.ways, "way")}`, x, y - 12);
    for (let set = 0; set < story.sets; set++) {
      const slots = held.map((_, slot) => slot).slice(set * story.ways, (set + 1) * story.ways);
      const full = story.ways > 1 && slots.every(slot => held[slot] >= 0), oldest = Math.min(...slots.map(slot => used[slot]));
      if (high >= 12 || set % 8 === 0) pen.fillText(`set ${set}`, x - 52, corner(slots[0])[1] + high / 2 + 1);
      for (const slot of slots) {
        const [left, top] = corner(slot), line = held[slot];
        pen.strokeRect(left, top, wide, high);
        if (line < 0) continue;
        Object.assign(pen, { globalAlpha: PALE, fillStyle: tint(story.owner[line]) });
        pen.fillRect(left, top, wide, high);
        Object.assign(pen, { globalAlpha: 1, fillStyle: ink });
        if (high < 12) continue; // too low for words
        const texts = [story.label[line], story.arrays[story.owner[line]]?.name ?? "?", ""];
        pen.fillText(texts.find(text => pen.measureText(text).width < wide - 36 || !text), left + 15, top + high / 2 + 1);
        if (full && used[slot] === oldest) pen.fillText("▸", left + 3, top + high / 2 + 1);
      }
    }
    for (const slot of touched) { // last, so that no neighbour is drawn over it
      const [left, top] = corner(slot), by = story.served[at - 1];
      Object.assign(pen, { strokeStyle: on.colour(by), lineWidth: 3 });
      pen.strokeRect(left, top, wide, high);
      mark(on, by, left + wide - 11, top + high / 2, between(9, high, 24));
    }
  }
  function drawStrip() { // two lanes; where accesses share a pixel, a lane is as dark as its share
    const { pen, ink, colour } = penOn(strip, STRIP), { each } = place;
    story.served.forEach((by, i) => {
      Object.assign(pen, { fillStyle: colour(by), globalAlpha: between(0.3, each * 1.5, 1) });
      pen.fillRect(STRIP + i * each, by ? 8 : 30, Math.max(each * 0.75, 1), 18);
    });
    Object.assign(pen, { fillStyle: ink, globalAlpha: 1 });
    pen.fillText("misses", 4, 18);
    pen.fillText("hits", 4, 40);
    pen.fillRect(STRIP + at * each - 1, 2, 2, STRIP - 4);
  }
  function draw() {
    if (!root.clientWidth) return; // not on the page, or folded away
    const width = Math.max(root.clientWidth - 12, 280);
    if (place?.width !== width) place = layout(width);
    const state = contents(), on = penOn(scene, place.height), held = new Set(state.held);
    place.grids.forEach((grid, index) => drawArray(on, grid, index, held));
    drawCache(on, state);
    drawStrip();
    write(state);
  }

  // --- moving -----------------------------------------------------------------------------------------------------
  function show(step) {
    at = between(0, step, total);
    draw();
    clearTimeout(saving); // Python is told when the hand rests, not at every frame
    saving = setTimeout(() => { model.set("step", at); model.save_changes(); }, 200);
  }
  function pause() { playing = false; cancelAnimationFrame(timer); draw(); }
  function go(step) { pause(); show(step); }
  function start() {
    let last = performance.now(), due = 0;
    playing = true;
    show(at === total ? 0 : at);
    timer = requestAnimationFrame(function tick(now) {
      due += between(0, now - last, 250) / 1000 * speed.value;
      last = now;
      if (due >= 1) { show(at + Math.floor(due)); due %= 1; }
      if (at === total) pause(); else timer = requestAnimationFrame(tick);
    });
  }
  const follow = () => { if (!playing && model.get("step") !== at) { at = between(0, model.get("step"), total); draw(); } };
  const resized = new ResizeObserver(() => requestAnimationFrame(draw)), themed = new MutationObserver(() => requestAnimationFrame(draw));
  model.on("change:step", follow);
  resized.observe(root);
  themed.observe(document.body, { attributes: true }); // the theme's name is there
  return () => { pause(); clearTimeout(saving); resized.disconnect(); themed.disconnect(); model.off("change:step", follow); };
}

export default { render };
