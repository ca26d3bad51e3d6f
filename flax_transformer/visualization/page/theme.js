// Light or dark: that of the system, until a button changes it.

const DARK = "dark";

const root = document.documentElement;
root.dataset.theme = matchMedia("(prefers-color-scheme: dark)").matches ? DARK : "light";

function isDark() {
  return root.dataset.theme === DARK;
}

function changeTheme() {
  root.dataset.theme = isDark() ? "light" : DARK;
}
