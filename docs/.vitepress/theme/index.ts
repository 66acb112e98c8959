import type { Theme } from 'vitepress';
// Not `vitepress/theme`, which brings a font along.
import DefaultTheme from 'vitepress/theme-without-fonts';

import AllDocuments from './all-documents.vue';
import Landing from './landing.vue';
import ReadOn from './read-on.vue';
import './style.css';

export default {
  extends: DefaultTheme,
  enhanceApp({ app }) {
    app.component('landing', Landing).component('ReadOn', ReadOn).component('AllDocuments', AllDocuments);
  },
} satisfies Theme;
