"""A claim looks for longer hands, and for slow endpoints, only where something is ready."""

from django.db import migrations

# As before, but that longer hands are not looked for in a lane where nothing is ready: with 800 endpoints that may have one,
# each claim asked for the gates of all of them, in the lanes of retries and of replays too, which took most of its time.
TAKE = """
CREATE OR REPLACE FUNCTION webhooks_take_v2(
  cursors uuid[], room integer[], share integer[], begin_with integer, batch integer, cap integer,
  horizon double precision, lease_seconds double precision, under uuid, who text,
  swift uuid[], hands integer[]
) RETURNS TABLE (delivery_id uuid, to_endpoint_id uuid, claim_count integer, walk integer, slot integer,
                 send_in double precision)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
  reach CONSTANT integer := 1000;
  zero CONSTANT uuid := '00000000-0000-0000-0000-000000000000';
  moment timestamptz;
  served text[];
  lane_no integer;
  free integer;
  start uuid;
  gate record;
  account text;
  one uuid;
  into_slot integer;
  before integer;
  found_ids uuid[];
  found_waits double precision[];
  ids uuid[] := '{}';
  walks integer[] := '{}';
  slots integer[] := '{}';
  waits double precision[] := '{}';
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('tradepost.webhooks.claim'));
  moment := clock_timestamp();
  WITH risen AS MATERIALIZED (
    SELECT d.id FROM webhooks_due d WHERE NOT d.ready AND d.due_at <= moment
     ORDER BY d.due_at LIMIT 500 FOR UPDATE SKIP LOCKED
  )
  UPDATE webhooks_due d SET ready = true, is_behind = false, lease_id = NULL, lease_until = NULL
    FROM risen WHERE d.id = risen.id;
  IF room[1] <= share[1] OR room[2] <= share[2] OR room[3] <= share[3] OR room[4] <= share[4] THEN
    SELECT array_agg(h.account_id::text || h.in_slot) INTO served FROM (
      SELECT e.account_id, CASE WHEN p.sluggish >= 3 THEN 3 ELSE l.lane END AS in_slot,
             count(*) AS held
        FROM webhooks_due l JOIN webhooks_endpoint e ON e.id = l.endpoint_id
             LEFT JOIN webhooks_pace p ON p.endpoint_id = l.endpoint_id
       WHERE l.lease_id IS NOT NULL AND l.lease_until > moment AND l.holder = who
       GROUP BY 1, 2) h
     WHERE h.held >= share[h.in_slot + 1];
  END IF;

  FOR step IN 0..2 LOOP
    lane_no := (begin_with + step) % 3;
    free := LEAST(room[lane_no + 1], batch);
    CONTINUE WHEN free <= 0;
    start := cursors[lane_no + 1];
    before := cardinality(ids);
    LOOP
      SELECT array_agg(c.id ORDER BY c.endpoint_id), array_agg(c.wait ORDER BY c.endpoint_id)
        INTO found_ids, found_waits FROM (
        SELECT d.id, w.endpoint_id, g.first_in + g.apart * (d.nth - 1) AS wait
          FROM webhooks_walk(lane_no, start, reach) w
          CROSS JOIN LATERAL webhooks_gate_v2(w.endpoint_id, moment, cap, cap, who, horizon) g
          CROSS JOIN LATERAL (
            SELECT x.id, row_number() OVER (ORDER BY x.due_at) AS nth FROM (
              SELECT r.id, r.due_at FROM webhooks_due r
               WHERE r.ready AND r.order_key IS NULL AND r.lane = lane_no
                 AND r.endpoint_id = w.endpoint_id
               ORDER BY r.due_at
               LIMIT GREATEST(LEAST(g.places, g.most - lane_no - g.live), 0)
               FOR UPDATE SKIP LOCKED) x) d
         WHERE NOT g.is_slow
           AND (served IS NULL OR NOT EXISTS (
             SELECT FROM webhooks_endpoint p
              WHERE p.id = w.endpoint_id AND p.account_id::text || lane_no = ANY(served)))
         LIMIT free) c;
      IF found_ids IS NOT NULL THEN
        ids := ids || found_ids;
        waits := waits || found_waits;
        walks := walks || array_fill(lane_no, ARRAY[cardinality(found_ids)]);
        free := free - cardinality(found_ids);
        -- What is chosen counts as under way for the lanes that follow.
        PERFORM webhooks_lease(found_ids, found_waits, moment, lease_seconds, under, who);
      END IF;
      EXIT WHEN free <= 0;
      SELECT w.endpoint_id INTO one FROM webhooks_walk(lane_no, start, reach) w WHERE w.nth = reach;
      IF one IS NOT NULL THEN
        IF found_ids IS NULL THEN
          RETURN QUERY SELECT NULL::uuid, one, 0, lane_no, lane_no, 0.0::double precision;
        END IF;
        EXIT;
      END IF;
      EXIT WHEN start = zero;
      start := zero;
    END LOOP;
    IF free > 0 AND cardinality(swift) > 0 AND EXISTS (
      SELECT FROM webhooks_due d WHERE d.ready AND d.order_key IS NULL AND d.lane = lane_no) THEN
      SELECT array_agg(c.id) INTO found_ids FROM (
        SELECT d.id
          FROM unnest(swift, hands) s(endpoint_id, hand)
          CROSS JOIN LATERAL webhooks_gate_v2(s.endpoint_id, moment, cap, s.hand, who, horizon) g
          CROSS JOIN LATERAL (
            SELECT r.id FROM webhooks_due r
             WHERE r.ready AND r.order_key IS NULL AND r.lane = lane_no
               AND r.endpoint_id = s.endpoint_id
             ORDER BY r.due_at
             LIMIT GREATEST(LEAST(g.places, g.most - lane_no - g.live), 0)
             FOR UPDATE SKIP LOCKED) d
         WHERE g.most > cap
           AND (served IS NULL OR NOT EXISTS (
             SELECT FROM webhooks_endpoint p
              WHERE p.id = s.endpoint_id AND p.account_id::text || lane_no = ANY(served)))
         LIMIT free) c;
      IF found_ids IS NOT NULL THEN
        ids := ids || found_ids;
        waits := waits || array_fill(NULL::double precision, ARRAY[cardinality(found_ids)]);
        walks := walks || array_fill(-1, ARRAY[cardinality(found_ids)]);
        PERFORM webhooks_lease(found_ids, '{}', moment, lease_seconds, under, who);
      END IF;
    END IF;
    free := cardinality(ids) - before;
    slots := slots || array_fill(lane_no, ARRAY[free]);
    room[lane_no + 1] := room[lane_no + 1] - free;
  END LOOP;

  start := cursors[4];
  before := cardinality(ids);
  LOOP
    free := 0;
    FOR one IN SELECT w.endpoint_id FROM webhooks_walk_special(start, 200) w LOOP
      EXIT WHEN cardinality(ids) - before >= batch;
      free := free + 1;
      SELECT g.* INTO gate FROM webhooks_gate_v2(one, moment, cap, cap, who, horizon) g;
      IF served IS NOT NULL THEN
        SELECT e.account_id::text INTO account FROM webhooks_endpoint e WHERE e.id = one;
      END IF;
      FOR step IN 0..2 LOOP
        lane_no := (begin_with + step) % 3;
        into_slot := CASE WHEN gate.is_slow THEN 3 ELSE lane_no END;
        CONTINUE WHEN served IS NOT NULL AND account || into_slot = ANY(served);
        CONTINUE WHEN LEAST(gate.places, cap - lane_no - gate.live, room[into_slot + 1]) <= 0;
        found_ids := webhooks_pick(
          one, lane_no, LEAST(gate.places, cap - lane_no - gate.live, room[into_slot + 1]),
          gate.is_slow, moment);
        CONTINUE WHEN cardinality(found_ids) = 0;
        found_waits := ARRAY(
          SELECT gate.first_in + gate.apart * (nth - 1)
            FROM generate_series(1, cardinality(found_ids)) nth);
        ids := ids || found_ids;
        waits := waits || found_waits;
        walks := walks || array_fill(3, ARRAY[cardinality(found_ids)]);
        slots := slots || array_fill(into_slot, ARRAY[cardinality(found_ids)]);
        room[into_slot + 1] := room[into_slot + 1] - cardinality(found_ids);
        gate.places := gate.places - cardinality(found_ids);
        gate.live := gate.live + cardinality(found_ids);
        gate.first_in := gate.first_in + gate.apart * cardinality(found_ids);
        PERFORM webhooks_lease(found_ids, found_waits, moment, lease_seconds, under, who);
      END LOOP;
    END LOOP;
    EXIT WHEN free > 0 OR start = zero;
    start := zero;
  END LOOP;
  IF free = 200 AND cardinality(ids) = before THEN
    RETURN QUERY SELECT NULL::uuid, one, 0, 3, 3, 0.0::double precision;
  END IF;

  RETURN QUERY
    SELECT d.id, d.endpoint_id, d.claims, c.walk, c.slot, COALESCE(c.wait, 0)
      FROM unnest(ids, walks, slots, waits) WITH ORDINALITY AS c(id, walk, slot, wait, nth)
      JOIN webhooks_due d ON d.id = c.id
     WHERE d.id = ANY(ids) ORDER BY c.nth;
END $$
"""

# As before; OFFSET 0 keeps the planner from reading all that is ready to find the few that are slow.
WALK_SPECIAL = """
CREATE OR REPLACE FUNCTION webhooks_walk_special(after uuid, most integer)
RETURNS TABLE (endpoint_id uuid) LANGUAGE sql STABLE AS $$
  WITH RECURSIVE walk(endpoint_id, nth) AS (
    (SELECT d.endpoint_id, 1 FROM webhooks_due d
      WHERE d.ready AND d.order_key IS NOT NULL AND d.endpoint_id > after
      ORDER BY d.endpoint_id LIMIT 1)
    UNION ALL
    SELECT (SELECT d.endpoint_id FROM webhooks_due d
             WHERE d.ready AND d.order_key IS NOT NULL AND d.endpoint_id > w.endpoint_id
             ORDER BY d.endpoint_id LIMIT 1), w.nth + 1
      FROM walk w WHERE w.endpoint_id IS NOT NULL AND w.nth < most
  )
  SELECT endpoint_id FROM (
    SELECT endpoint_id FROM walk WHERE endpoint_id IS NOT NULL
    UNION
    (SELECT p.endpoint_id FROM webhooks_pace p
      WHERE p.sluggish >= 3 AND p.endpoint_id > after
        AND EXISTS (SELECT FROM webhooks_due d
                     WHERE d.ready AND d.order_key IS NULL AND d.lane = ANY('{0,1,2}')
                       AND d.endpoint_id = p.endpoint_id OFFSET 0)
      ORDER BY p.endpoint_id LIMIT most)
  ) both_kinds ORDER BY endpoint_id LIMIT most
$$
"""


class Migration(migrations.Migration):
    dependencies = [("webhooks", "0014_lease_between_claims")]

    operations = [
        migrations.RunSQL(TAKE, migrations.RunSQL.noop),
        migrations.RunSQL(WALK_SPECIAL, migrations.RunSQL.noop),
    ]
