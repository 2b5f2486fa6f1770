// Wheel: zoom where the pointer is. Drag: move. Double click: all of it. Slider: the first year shows every outline.
const svg = document.querySelector("svg.picture"), slider = document.querySelector("input"), said = document.querySelector("output");
const box = svg.viewBox.baseVal, home = [box.x, box.y, box.width, box.height];
const at = (event) => new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());

svg.addEventListener("wheel", (event) => {
  event.preventDefault();
  const here = at(event), size = Math.min(Math.max(box.width * (event.deltaY < 0 ? 0.8 : 1.25), home[2] / 64), home[2]);
  const change = size / box.width;
  box.x = here.x - (here.x - box.x) * change;
  box.y = here.y - (here.y - box.y) * change;
  box.width = size;
  box.height *= change;
}, { passive: false });

let held = null;
svg.addEventListener("pointerdown", (event) => { held = at(event); svg.setPointerCapture(event.pointerId); });
svg.addEventListener("pointerup", () => { held = null; });
svg.addEventListener("pointermove", (event) => {
  if (held) {
    const here = at(event);
    box.x += held.x - here.x;
    box.y += held.y - here.y;
  }
});
svg.addEventListener("dblclick", () => { [box.x, box.y, box.width, box.height] = home; });

slider.addEventListener("input", () => {
  const year = slider.value === slider.min ? null : slider.value;
  said.textContent = year ?? "all years";
  for (const path of svg.querySelectorAll("path.change")) path.style.display = year && !path.classList.contains(`y${year}`) ? "none" : "";
});
