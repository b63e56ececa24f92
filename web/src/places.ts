// Where one is on the page: the part of the address behind #.
import { shared } from "./state";

export const PLACES = { edit: "Edit", ask: "Ask", plan: "Plan", live: "Live", bench: "Bench" } as const;

export type Place = keyof typeof PLACES;

function here(): Place {
  const name = location.hash.replace(/^#\/?/, "");
  return name in PLACES ? (name as Place) : "edit";
}

export const place = shared<Place>(here());

addEventListener("hashchange", () => place.set(here()));

export function go(to: Place): void {
  location.hash = `/${to}`;
}
