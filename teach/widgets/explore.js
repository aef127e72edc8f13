// Shows one of the frames that explore.py has drawn. All of them are here, so a slider does not wait for the kernel.

const make = (tag, parent, how = {}) => parent.appendChild(Object.assign(document.createElement(tag), how));
const AROUND = 200; // pixels of JupyterLab's window that the notebook does not have, and the folded source of the cell
const ROW = 36; // pixels: the height of a slider
let made = 0; // labels are tied to their sliders by ids, which must differ from one figure to the next

function render({ model, el }) {
  const sliders = model.get("sliders"), { frames, texts, sizes } = model.get("drawn");
  const sources = frames.map(png => URL.createObjectURL(new Blob([png], { type: "image/png" })));
  const early = sources.map(src => Object.assign(new Image(), { src })); // decoded before it is asked for
  let at = model.get("at");

  const root = make("div", el, { className: "explore" });
  const bar = make("div", root, { className: "sliders", role: "group", ariaLabel: "Move the figure" });
  const inputs = sliders.map(({ label, options }, name) => {
    const id = `explore-${++made}`, row = make("div", bar);
    make("label", row, { htmlFor: id, textContent: label });
    const input = make("input", row, { id, type: "range", min: 0, max: options.length - 1, value: at[name] });
    input.dataset.lmSuppressShortcuts = "true"; // its keys are no commands of JupyterLab
    const value = make("span", row, { ariaHidden: "true" }); // the slider says it itself
    value.style.minWidth = `${Math.max(...options.map(option => option.length))}ch`; // so that nothing moves beside it
    input.oninput = () => { move(); said.textContent = picture.alt; };
    return { input, say: () => { value.textContent = input.ariaValueText = options[input.value]; } };
  });
  const picture = make("img", root, { className: "course-figure" });
  const said = make("div", root, { className: "said", ariaLive: "polite" }); // what a screen reader hears after a move

  function move() {
    at = inputs.map(({ input }) => +input.value);
    model.set("at", at); // for another view of the same figure; Python need not know
    for (const { say } of inputs) say();
    const frame = at.reduce((before, position, name) => before * sliders[name].options.length + position, 0);
    const [width, height] = sizes[frame];
    picture.src = sources[frame];
    picture.alt = texts[frame];
    // Given before it is loaded, so that the page does not jump; and never too high for one screen with its sliders.
    const room = `(100vh - ${AROUND + ROW * sliders.length}px)`;
    picture.style.aspectRatio = `${width} / ${height}`;
    picture.style.width = `min(100%, ${width}px, max(220px, ${room}) * ${width / height})`;
  }
  move();
  return () => { sources.forEach(URL.revokeObjectURL); early.length = 0; };
}

export default { render };
