"""The style and the script of a report: pictures before and after, with a slider that takes mouse, finger and arrow keys."""

STYLE = """
body { margin: 2rem auto; overflow-wrap: anywhere }
section { border-top: 1px solid #8885; margin-top: 2.4rem }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: .6rem 0 }
dt { opacity: .7 }
dd { margin: 0 }
.lead { font-size: 1.15rem; margin: .2rem 0 }
.note, footer, figcaption { opacity: .75; font-size: .9rem }
.failed { padding-left: 1.2rem }
footer { border-top: 1px solid #8885; margin-top: 2.4rem; padding-top: .6rem }
figure { margin: 1.2rem 0 }
.pair { display: flex; flex-wrap: wrap; gap: .6rem; position: relative; max-width: max-content }
.side { position: relative; min-width: 0; max-width: 100% }
.side span { position: absolute; top: .5rem; left: .5rem; padding: 0 .5em; border-radius: 3px; background: #000a; color: #fff;
  font-size: .85rem; pointer-events: none }
.side.after span { left: auto; right: .5rem }
img { display: block; max-width: 100%; height: auto;
  background: repeating-conic-gradient(#8883 0 25%, #8881 0 50%) 0 0 / 16px 16px }
.slider { display: block; --at: 50%; border-radius: 4px; overflow: hidden }
.slider .before { position: absolute; inset: 0; clip-path: inset(0 calc(100% - var(--at)) 0 0); max-width: none; background: Canvas }
.slider .before img { width: 100%; height: 100% }
.slider .after { clip-path: inset(0 0 0 var(--at)) }
.slider::after { content: ""; position: absolute; inset: 0 auto 0 calc(var(--at) - 1px); width: 2px; background: #fff;
  box-shadow: 0 0 3px #000; pointer-events: none }
.slider input { position: absolute; inset: 0; width: 100%; height: 100%; margin: 0; opacity: 0; cursor: ew-resize; touch-action: pan-y }
.slider:focus-within { outline: 3px solid Highlight; outline-offset: 2px }
@media (max-width: 480px) { body { padding: 0 .8rem; margin: 1rem auto } h1 { font-size: 1.9rem } }
"""

SCRIPT = """
for (const pair of document.querySelectorAll(".pair[data-name]")) {
  const slider = document.createElement("input");
  slider.type = "range";
  slider.max = 1000;
  slider.step = 1;
  slider.value = 500;
  slider.setAttribute("aria-label", pair.dataset.name + ": share of the picture that is shown before the repair");
  const show = () => {
    pair.style.setProperty("--at", slider.value / 10 + "%");
    slider.setAttribute("aria-valuetext", Math.round(slider.value / 10) + "% before");
  };
  slider.addEventListener("input", show);
  slider.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -20, ArrowDown: -20, ArrowRight: 20, ArrowUp: 20 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    slider.value = Number(slider.value) + step;
    show();
  });
  pair.classList.add("slider");
  pair.append(slider);
  show();
}
"""
