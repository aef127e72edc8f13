// Read by the Marp CLI in this folder: `npx @marp-team/marp-cli@4.5.1 --server .` shows the decks while one writes.
export default {
  html: true, // <div class="columns">
  themeSet: "course.css",
  options: { emoji: { shortcode: false, unicode: false } }, // pictures of emoji would come from elsewhere
};
