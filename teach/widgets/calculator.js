// Makes the controls that calculator.py describes, tells it where they stand, and shows what it answers.

const make = (tag, parent, how = {}) => parent.appendChild(Object.assign(document.createElement(tag), how));
let made = 0; // labels are tied to their controls by ids, which must differ from one panel to the next

function render({ model, el }) {
  const root = make("div", el, { className: "calculator" });
  const bar = make("div", root, { className: "controls", role: "group", ariaLabel: "What is computed, and where" });
  const inputs = {}, shown = {}, positionOf = control => model.get("at")[control.name] ?? control.at;
  for (const control of model.get("controls")) {
    const id = `calculator-${++made}`;
    const row = make("div", bar, { className: control.slider ? "slider" : "choice" });
    make("label", row, { htmlFor: id, textContent: control.label });
    const input = make(control.slider ? "input" : "select", row, { id });
    if (control.slider) Object.assign(input, { type: "range", min: 0, max: control.options.length - 1 });
    else control.options.forEach((textContent, value) => make("option", input, { textContent, value }));
    input.dataset.lmSuppressShortcuts = "true"; // its keys are no commands of JupyterLab
    const value = control.slider ? make("span", row, { ariaHidden: "true" }) : null; // the slider says it itself
    const put = position => {
      input.value = position;
      if (value) value.textContent = input.ariaValueText = control.options[position];
    };
    put(positionOf(control));
    input.oninput = () => move({ [control.name]: +input.value });
    inputs[control.name] = { input, put };
  }
  const said = make("div", root, { className: "said", role: "status" });
  shown.sentence = make("span", said);
  shown.remedies = make("span", said, { className: "remedies" });
  shown.engine = make("div", said, { className: "engine" });
  for (const className of ["numbers", "picture", "rent"]) shown[className] = make("div", root, { className });
  shown.remedies.onclick = ({ target }) => {
    if (!target.dataset.at) return;
    const changes = JSON.parse(target.dataset.at);
    move(changes);
    inputs[Object.keys(changes)[0]].input.focus(); // the button will be gone
  };

  function move(changes) {
    for (const [name, position] of Object.entries(changes)) inputs[name].put(position);
    model.set("at", Object.fromEntries(Object.entries(inputs).map(([name, { input }]) => [name, +input.value])));
    model.save_changes();
  }
  function show() {
    const { sentence, ...html } = model.get("answer");
    shown.sentence.textContent = sentence;
    for (const [part, text] of Object.entries(html)) shown[part].innerHTML = text;
  }
  const follow = () => model.get("controls").forEach(control => inputs[control.name].put(positionOf(control)));
  model.on("change:answer", show);
  model.on("change:at", follow);
  show();
  return () => { model.off("change:answer", show); model.off("change:at", follow); };
}

export default { render };
