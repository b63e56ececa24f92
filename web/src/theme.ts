// Light, dark, or as the system has it.
import { shared } from "./state";

export type Theme = "system" | "light" | "dark";

const NEXT: Record<Theme, Theme> = { system: "light", light: "dark", dark: "system" };

function kept(): Theme {
  const name = localStorage.getItem("cerium-theme");
  return name === "light" || name === "dark" ? name : "system";
}

export const theme = shared<Theme>(kept());

export function turn(): void {
  const next = NEXT[theme.get()];
  localStorage.setItem("cerium-theme", next);
  theme.set(next);
  show();
}

export function show(): void {
  document.documentElement.dataset.theme = theme.get();
}
