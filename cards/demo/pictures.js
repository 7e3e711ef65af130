() => {
  // Gradio's video field refuses animated pictures: those that are dropped on it, or chosen in it, go to the
  // button below it.
  const field = '#annotate-video';
  const pass = (event, files) => {
    const picture = [...(files ?? [])].find((file) => file.type.startsWith('image/'));
    const button = document.querySelector('input[data-testid$="WebP or APNG-upload-button"]');
    if (!picture || !button || !event.target.closest?.(field)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    const moved = new DataTransfer();
    moved.items.add(picture);
    button.files = moved.files;
    button.dispatchEvent(new Event('change', { bubbles: true }));
  };
  document.addEventListener('drop', (event) => pass(event, event.dataTransfer?.files), true);
  document.addEventListener('change', (event) => pass(event, event.target.files), true);
  // The file chooser hides what the field does not ask for.
  document.addEventListener('click', (event) => {
    const input = event.target.closest?.(field)?.querySelector('input[type=file]');
    if (input) input.accept = 'video/*,.mkv,.ts,.m2ts,.flv,.wmv,image/gif,image/webp,image/png,image/apng';
  }, true);
}
