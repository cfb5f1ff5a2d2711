"""A process may hold a longer hand of deliveries for endpoints that answer well (docs/adr/0019)."""

from django.db import migrations

# How an endpoint may be sent to by `who` at `moment`, as webhooks_gate says it; `most` is what may be under a
# lease at all: `hand`, where that is more than `cap`, as long as nobody else holds anything of it and
# neither a rate limit, a trial nor slow answers bound it. So either all leases of an endpoint are of one
# process, which has no more than `cap` requests under way, or they are no more than `cap` together.
GATE = """
CREATE FUNCTION webhooks_gate_v2(
  of_endpoint uuid, moment timestamptz, cap integer, hand integer, who text,
  horizon double precision
) RETURNS TABLE (is_slow boolean, live integer, places integer, most integer,
                 first_in double precision, apart double precision)
LANGUAGE sql STABLE AS $$
  SELECT is_slow, live, CASE
      WHEN is_closed THEN 0
      WHEN apart IS NULL THEN COALESCE(LEAST(trials, most), most) - live
      ELSE LEAST(COALESCE(LEAST(trials, most), most) - live,
                 1 + floor((horizon - first_in) / apart)::integer)
    END, most, first_in, apart
  FROM (
    SELECT COALESCE(p.sluggish >= 3, false) AS is_slow,
           COALESCE(p.closed_until > moment, false) AS is_closed,
           p.places::integer AS trials, l.live,
           CASE WHEN l.is_shared OR p.places IS NOT NULL OR p.next_at IS NOT NULL OR p.sluggish >= 3
                THEN cap ELSE GREATEST(cap, hand) END AS most,
           GREATEST(extract(epoch FROM p.next_at - moment), 0)::double precision AS first_in,
           CASE WHEN p.next_at IS NOT NULL THEN (
             SELECT 1.0::double precision / e.rate_limit FROM webhooks_endpoint e
              WHERE e.id = of_endpoint
           ) END AS apart
      FROM (
        SELECT count(*)::integer AS live, COALESCE(bool_or(d.holder <> who), false) AS is_shared
          FROM webhooks_due d
         WHERE d.endpoint_id = of_endpoint AND d.lease_id IS NOT NULL AND d.lease_until > moment
      ) l LEFT JOIN webhooks_pace p ON p.endpoint_id = of_endpoint
  ) known
$$
"""

# Leases what has been chosen; `waits` has a value for whatever an endpoint's rate limit holds back.
LEASE = """
CREATE FUNCTION webhooks_lease(
  chosen uuid[], waits double precision[], moment timestamptz, lease_seconds double precision,
  under uuid, who text
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  UPDATE webhooks_due d
     SET ready = false, lease_id = under, holder = who, claims = d.claims + 1,
         lease_until = moment + lease_seconds * interval '1 second',
         due_at = moment + lease_seconds * interval '1 second'
   WHERE d.id = ANY(chosen);
  IF cardinality(array_remove(waits, NULL)) > 0 THEN
    PERFORM webhooks_spend(chosen, moment);
  END IF;
END $$
"""

# As webhooks_take says it (and planned once for a connection, which else takes longer than the claim), and then, when a lane's batch is not full of what endpoints may have anyway: more
# for the `swift` endpoints, up to the `hands` that `who` may hold of them. A walk that has come to the end
# goes on from the beginning at once. Rows come in the order in which they were chosen, those of longer hands
# as a walk -1.
TAKE = """
CREATE FUNCTION webhooks_take_v2(
  cursors uuid[], room integer[], share integer[], begin_with integer, batch integer, cap integer,
  horizon double precision, lease_seconds double precision, under uuid, who text,
  swift uuid[], hands integer[]
) RETURNS TABLE (delivery_id uuid, to_endpoint_id uuid, claim_count integer, walk integer, slot integer,
                 send_in double precision)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
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
    IF free > 0 AND cardinality(swift) > 0 THEN
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

# Records outcomes (a JSON list) of deliveries whose `ids` are given apart too, so that each table is entered by
# its key whatever the planner believes of the rest: attempts and what they make of deliveries and of what is
# owed. Whoever has lost a lease matches no row of webhooks_due, and then nothing of that delivery is written.
# What comes next in the order of a subject whose delivery rests need not wait any more; whichever is first is
# touched, ready or not, to wait for a claim that is just looking at it (webhooks_pick).
RECORD = """
CREATE FUNCTION webhooks_record(ids uuid[], outcomes jsonb)
RETURNS TABLE (delivery_id uuid, number integer, at double precision)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
BEGIN
  RETURN QUERY
  WITH outcome AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset(outcomes) AS o(
      id uuid, lease_id uuid, attempt_id uuid, status text, reason text, retry_in float8, url text,
      age float8, duration_ms integer, status_code smallint, error text, headers jsonb,
      answer_headers jsonb, body text, dns_us integer, connect_us integer, tls_us integer,
      first_byte_us integer)
  ), rested AS (
    DELETE FROM webhooks_due d USING outcome o
     WHERE d.id = ANY(ids) AND d.id = o.id AND d.lease_id = o.lease_id
       AND o.retry_in IS NULL RETURNING d.id, d.endpoint_id, d.order_key
  ), postponed AS (
    UPDATE webhooks_due d SET due_at = now() + o.retry_in * interval '1 second', ready = false,
           lane = 1, lease_id = NULL, lease_until = NULL, claims = 0
      FROM outcome o
     WHERE d.id = ANY(ids) AND d.id = o.id AND d.lease_id = o.lease_id
       AND o.retry_in IS NOT NULL RETURNING d.id
  ), followed AS (
    UPDATE webhooks_due n SET ready = true, is_behind = false, due_at = now()
     WHERE n.lease_id IS NULL AND (n.is_behind OR n.ready) AND n.id IN (
       SELECT (SELECT o.id FROM webhooks_due o
                WHERE o.endpoint_id = r.endpoint_id AND o.order_key = r.order_key
                  AND o.id <> ALL(ids) ORDER BY o.position, o.id LIMIT 1)
         FROM rested r WHERE r.order_key IS NOT NULL)
  ), held AS (
    SELECT id FROM rested UNION ALL SELECT id FROM postponed
  ), settled AS (
    UPDATE webhooks_delivery d SET status = o.status, reason = o.reason,
           attempt_count = d.attempt_count + 1, last_status_code = o.status_code, updated_at = now(),
           retry_step = d.retry_step + (o.retry_in IS NOT NULL)::integer
      FROM outcome o JOIN held USING (id)
     WHERE d.id = ANY(ids) AND d.id = o.id RETURNING d.id, d.attempt_count
  ), logged AS (
    INSERT INTO webhooks_attempt (id, delivery_id, number, url, started_at, duration_ms, status_code,
                                  error, request_headers, response_headers, response_body,
                                  dns_us, connect_us, tls_us, first_byte_us)
    SELECT o.attempt_id, o.id, s.attempt_count, o.url, now() - o.age * interval '1 second',
           o.duration_ms, o.status_code, o.error, o.headers, o.answer_headers, decode(o.body, 'hex'),
           o.dns_us, o.connect_us, o.tls_us, o.first_byte_us
      FROM outcome o JOIN settled s USING (id)
  )
  SELECT s.id, s.attempt_count, extract(epoch FROM now())::float8 FROM settled s;
END $$
"""

# All that sending deliveries takes. Whether the account may see the event is asked now: a member that left
# gets nothing more. The payload of an event comes once, however many endpoints get it.
LOAD = """
CREATE FUNCTION webhooks_load(ids uuid[])
RETURNS TABLE (delivery_id uuid, endpoint_id uuid, event_id uuid, step smallint, replay_id uuid, url text,
               version integer, status varchar, is_deleted boolean, is_set_aside boolean,
               is_watched boolean, occurred_at double precision, is_visible boolean, body bytea)
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan AS $$
BEGIN
  RETURN QUERY
  SELECT d.id, p.id, d.event_id, d.retry_step, d.replay_id, p.url, p.version, p.status,
         p.deleted_at IS NOT NULL, p.ordered AND p.on_failure = 'park',
         EXISTS (SELECT FROM webhooks_pace w WHERE w.endpoint_id = p.id),
         extract(epoch FROM e.occurred_at)::float8,
         e.account_id = p.account_id OR p.account_id = ANY(e.readers) OR EXISTS (
           SELECT FROM events_channelmember m
            WHERE m.channel_id = e.channel_id AND m.account_id = p.account_id),
         CASE WHEN row_number() OVER (PARTITION BY d.event_id ORDER BY d.id) = 1 THEN e.payload END
    FROM webhooks_delivery d
    JOIN webhooks_endpoint p ON p.id = d.endpoint_id
    LEFT JOIN events_event e ON e.id = d.event_id
   WHERE d.id = ANY(ids);
END $$
"""


class Migration(migrations.Migration):
    dependencies = [
        ("webhooks", "0007_a_right_to_rotate_secrets"),
        ("events", "0001_initial"),
    ]

    operations = [
        migrations.RunSQL(
            GATE,
            "DROP FUNCTION webhooks_gate_v2(uuid, timestamptz, integer, integer, text, "
            "double precision)",
        ),
        migrations.RunSQL(
            LEASE,
            "DROP FUNCTION webhooks_lease(uuid[], double precision[], timestamptz, "
            "double precision, uuid, text)",
        ),
        migrations.RunSQL(
            TAKE,
            "DROP FUNCTION webhooks_take_v2(uuid[], integer[], integer[], integer, integer, integer, "
            "double precision, double precision, uuid, text, uuid[], integer[])",
        ),
        migrations.RunSQL(RECORD, "DROP FUNCTION webhooks_record(uuid[], jsonb)"),
        migrations.RunSQL(LOAD, "DROP FUNCTION webhooks_load(uuid[])"),
    ]
