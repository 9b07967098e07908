// Puts the chosen theme on <html> before the first paint; loaded in the head,
// and so not a module. "auto" follows the system.
(() => {
  const stored = () => {
    try { return localStorage.getItem("logforge.theme"); } catch { return null; }
  };
  const choice = stored();
  if (choice === "light" || choice === "dark") document.documentElement.dataset.theme = choice;
})();
