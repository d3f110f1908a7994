/** Columns of what administrators offer, and of the profiles behind it. */
const OFFER_COLUMNS = `
  id uuid PRIMARY KEY,
  author text NOT NULL,
  request_id text NOT NULL,
  revision integer NOT NULL CHECK (revision >= 1),
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz
`;

/** Part of the first schema: flavors, availability zones and their profiles. */
export const OFFERS = `
CREATE TABLE flavor_profile (
  ${OFFER_COLUMNS},
  name text NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
  provider text NOT NULL,
  data jsonb NOT NULL CHECK (jsonb_typeof(data) = 'object')
);
CREATE TABLE flavor (
  ${OFFER_COLUMNS},
  name text NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 255),
  description text NOT NULL DEFAULT '' CHECK (length(description) <= 255),
  enabled boolean NOT NULL,
  flavor_profile_id uuid NOT NULL REFERENCES flavor_profile (id)
);
CREATE INDEX flavor_flavor_profile ON flavor (flavor_profile_id);

CREATE TABLE availability_zone_profile (
  ${OFFER_COLUMNS},
  name text NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
  provider text NOT NULL,
  data jsonb NOT NULL CHECK (jsonb_typeof(data) = 'object')
);
-- Callers know it by its name, which never changes.
CREATE TABLE availability_zone (
  ${OFFER_COLUMNS},
  name text NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 255),
  description text NOT NULL DEFAULT '' CHECK (length(description) <= 255),
  enabled boolean NOT NULL,
  availability_zone_profile_id uuid NOT NULL REFERENCES availability_zone_profile (id)
);
CREATE INDEX availability_zone_availability_zone_profile ON availability_zone (availability_zone_profile_id);
`;
