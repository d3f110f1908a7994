/** What administrators offer to tenants: flavors, availability zones, and the profiles behind them. */
export { AvailabilityZoneProfiles, AvailabilityZones, FlavorProfiles, Flavors, type OfferListing } from './offers.ts';
export { type Term, type Terms, termsOf } from './terms.ts';
