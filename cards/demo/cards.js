// The grid of clips: pointing plays a clip in its place, opening it shows the player.
let shown = null;

const player = document.createElement('dialog');
player.className = 'player';
player.setAttribute('aria-label', 'Clip');
player.innerHTML = `
  <div class="stage">
    <video controls loop playsinline></video>
    <div class="alert" role="alert" hidden></div>
  </div>
  <div class="side">
    <div class="about"></div>
    <div class="actions"><button type="button" class="annotate">Annotate this clip</button></div>
  </div>
  <div class="turn">
    <button type="button" class="previous" aria-label="Previous clip">‹</button>
    <button type="button" class="next" aria-label="Next clip">›</button>
    <button type="button" class="close" aria-label="Close">×</button>
  </div>`;
// Inside the page's container its styles hold; a dialog opened as modal lies above everything anyway.
(element.closest('.gradio-container') || document.body).append(player);
const video = player.querySelector('video');
const message = player.querySelector('.alert');

function show(card) {
  shown = card;
  player.style.cssText = card.style.cssText;
  player.style.setProperty('--ratio', card.dataset.ratio);
  player.querySelector('.about').innerHTML = card.querySelector('.more').innerHTML;
  player.querySelector('.previous').disabled = !card.previousElementSibling;
  player.querySelector('.next').disabled = !card.nextElementSibling;
  message.hidden = true;
  video.hidden = false;
  video.poster = card.querySelector('img').src;
  video.src = card.dataset.address;
  if (!player.open) player.showModal();
  video.play().catch(() => {});
}

element.addEventListener('click', (event) => {
  const opener = event.target.closest('.clip button, .clip .caption');
  if (opener) show(opener.closest('.clip'));
});

// Errors do not bubble, but they are captured. A picture or a clip that cannot be read says so in its place.
element.addEventListener('error', (event) => {
  const note = event.target.closest?.('.clip')?.querySelector('.unreadable');
  if (note) note.hidden = false;
}, true);
video.addEventListener('error', () => {
  message.textContent = shown.querySelector('.unreadable').textContent;
  message.hidden = false;
  video.hidden = true;
});

// Pointing at a card, or focusing it, plays it without sound.
function preview(event, play) {
  const button = event.target.closest?.('.clip button');
  if (!button || button.contains(event.relatedTarget)) return;
  const small = button.querySelector('video');
  if (play && !matchMedia('(prefers-reduced-motion: reduce)').matches) small.play().catch(() => {});
  else small.pause();
}
element.addEventListener('pointerover', (event) => preview(event, true));
element.addEventListener('pointerout', (event) => preview(event, false));
element.addEventListener('focusin', (event) => preview(event, true));
element.addEventListener('focusout', (event) => preview(event, false));

player.addEventListener('click', (event) => {
  if (event.target === player || event.target.closest('.close')) player.close();
  else if (event.target.closest('.previous')) show(shown.previousElementSibling);
  else if (event.target.closest('.next')) show(shown.nextElementSibling);
  else if (event.target.closest('.annotate')) {
    player.close();
    trigger('annotate', { id: shown.dataset.id });
  }
});
player.addEventListener('keydown', (event) => {
  if (event.target === video) return;
  if (event.key === 'ArrowLeft' && shown.previousElementSibling) show(shown.previousElementSibling);
  if (event.key === 'ArrowRight' && shown.nextElementSibling) show(shown.nextElementSibling);
});
player.addEventListener('close', () => {
  video.removeAttribute('src');
  video.load();
});
