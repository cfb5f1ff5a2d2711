"""How deliveries are claimed: by lanes, each endpoint at its pace, ordered subjects one by one."""

from django.db import migrations, models

# How an endpoint may be sent to at `moment`: whether it is slow, how many requests are under way, how many
# more may be sent, and, when it has a rate limit, when the first of them and how many seconds apart.
# Inlined into the statement that calls it.
GATE = """
CREATE FUNCTION webhooks_gate(
  of_endpoint uuid, moment timestamptz, cap integer, horizon double precision
) RETURNS TABLE (is_slow boolean, live integer, places integer, first_in double precision,
                 apart double precision)
LANGUAGE sql STABLE AS $$
  SELECT is_slow, live, CASE
      WHEN is_closed THEN 0
      WHEN apart IS NULL THEN at_most - live
      ELSE LEAST(at_most - live, 1 + floor((horizon - first_in) / apart)::integer)
    END, first_in, apart
  FROM (
    SELECT COALESCE(p.sluggish >= 3, false) AS is_slow,
           COALESCE(p.closed_until > moment, false) AS is_closed,
           LEAST(COALESCE(p.places::integer, cap), cap) AS at_most,
           (SELECT count(*)::integer FROM webhooks_due l
             WHERE l.endpoint_id = of_endpoint AND l.lease_id IS NOT NULL AND l.lease_until > moment
           ) AS live,
           GREATEST(extract(epoch FROM p.next_at - moment), 0)::double precision AS first_in,
           CASE WHEN p.next_at IS NOT NULL THEN (
             SELECT 1.0::double precision / e.rate_limit FROM webhooks_endpoint e
              WHERE e.id = of_endpoint
           ) END AS apart
      FROM (SELECT) one LEFT JOIN webhooks_pace p ON p.endpoint_id = of_endpoint
  ) known
$$
"""

# The endpoints after `after`, in the order of ids, that have something ready in a lane for which no order
# matters: at most `most`.
WALK = """
CREATE FUNCTION webhooks_walk(in_lane integer, after uuid, most integer)
RETURNS TABLE (endpoint_id uuid, nth integer) LANGUAGE sql STABLE AS $$
  WITH RECURSIVE walk(endpoint_id, nth) AS (
    (SELECT d.endpoint_id, 1 FROM webhooks_due d
      WHERE d.ready AND d.order_key IS NULL AND d.lane = in_lane AND d.endpoint_id > after
      ORDER BY d.endpoint_id LIMIT 1)
    UNION ALL
    SELECT (SELECT d.endpoint_id FROM webhooks_due d
             WHERE d.ready AND d.order_key IS NULL AND d.lane = in_lane
               AND d.endpoint_id > w.endpoint_id
             ORDER BY d.endpoint_id LIMIT 1), w.nth + 1
      FROM walk w WHERE w.endpoint_id IS NOT NULL AND w.nth < most
  )
  SELECT endpoint_id, nth FROM walk WHERE endpoint_id IS NOT NULL
$$
"""

# The endpoints after `after` that are looked at one by one: slow ones, and those with something ordered.
WALK_SPECIAL = """
CREATE FUNCTION webhooks_walk_special(after uuid, most integer)
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
                       AND d.endpoint_id = p.endpoint_id)
      ORDER BY p.endpoint_id LIMIT most)
  ) both_kinds ORDER BY endpoint_id LIMIT most
$$
"""

# Locks up to 100 ready ordered deliveries of one endpoint in one lane, longest waiting first, and gives
# those of them, `n` at most, that may go: of a subject only the first, and only when nothing of it is under
# way; `with_unordered` those too for which no order matters. The others wait for whoever records the one before them (`outcomes`), or to be looked at
# again in a minute. What was locked is judged by a statement of its own, whose snapshot is younger than
# the locks: whoever ends a delivery makes its successor ready, and cannot have missed one that is locked.
PICK = """
CREATE FUNCTION webhooks_pick(
  of_endpoint uuid, in_lane integer, n integer, with_unordered boolean, moment timestamptz
) RETURNS uuid[] LANGUAGE plpgsql AS $$
DECLARE
  looked uuid[];
  picked uuid[];
  later uuid[];
  unmade uuid[];
BEGIN
  looked := ARRAY(
    SELECT r.id FROM webhooks_due r
     WHERE r.ready AND r.order_key IS NOT NULL AND r.lane = in_lane AND r.endpoint_id = of_endpoint
       AND NOT EXISTS (
         SELECT FROM webhooks_endpoint e WHERE e.id = of_endpoint AND e.backlog_stale)
     ORDER BY r.due_at LIMIT 100 FOR UPDATE SKIP LOCKED);
  IF with_unordered THEN
    looked := looked || ARRAY(
      SELECT r.id FROM webhooks_due r
       WHERE r.ready AND r.order_key IS NULL AND r.lane = in_lane AND r.endpoint_id = of_endpoint
       ORDER BY r.due_at LIMIT n FOR UPDATE SKIP LOCKED);
  END IF;
  IF cardinality(looked) = 0 THEN
    RETURN looked;
  END IF;
  SELECT array_agg(j.id ORDER BY j.due_at, j.position, j.id)
           FILTER (WHERE NOT j.is_later AND NOT j.is_unmade),
         array_agg(j.id) FILTER (WHERE j.is_later),
         array_agg(j.id) FILTER (WHERE j.is_unmade AND NOT j.is_later)
    INTO picked, later, unmade
    FROM (
      SELECT r.id, r.due_at, r.position, r.order_key IS NOT NULL AND EXISTS (
               SELECT FROM webhooks_due o
                WHERE o.endpoint_id = of_endpoint AND o.order_key = r.order_key AND o.id <> r.id
                  AND ((o.position, o.id) < (r.position, r.id) OR o.lease_until > moment)
             ) AS is_later,
             r.order_key IS NOT NULL AND EXISTS (
               SELECT FROM webhooks_fanout f
                WHERE f.subject = r.order_key AND f.position < r.position
                  AND f.after < of_endpoint
             ) AS is_unmade
        FROM webhooks_due r WHERE r.id = ANY(looked)) j;
  UPDATE webhooks_due d
     SET ready = false, is_behind = true, due_at = moment + CASE WHEN d.id = ANY(later) THEN interval '1 minute'
                                               ELSE interval '1 second' END
   WHERE d.id = ANY(later) OR d.id = ANY(unmade);
  RETURN COALESCE(picked[1:n], '{}');
END $$
"""

# Leases deliveries to `who` under the id `under`. Cursors, slots and shares come as arrays: lanes 0 to 2
# and, fourth, the slow one, whose cursor is that of all endpoints that are looked at one by one. A lane
# gets no more than `batch` and its `room`; endpoints have their turn in the order of ids after the cursor,
# and round; an endpoint no more than its gate lets through, first attempts going before retries and
# replays for its last places; an account nothing more in a lane where `who` holds its `share` already.
# `begin` says which lane comes first. A row without a delivery tells that a walk has come to an endpoint
# without finding anything to claim: the next one goes on there.
#
# The advisory lock makes the counts exact; a volatile function sees, after waiting for it, all that
# committed before. First of all, what waited for its time (a retry, the end of a lease) becomes ready;
# only then is it in the index that is walked, so the cost of a claim does not grow with what is waiting.
TAKE = """
CREATE FUNCTION webhooks_take(
  cursors uuid[], room integer[], share integer[], begin_with integer, batch integer, cap integer,
  horizon double precision, lease_seconds double precision, under uuid, who text
) RETURNS TABLE (delivery_id uuid, to_endpoint_id uuid, claim_count integer, walk integer, slot integer,
                 send_in double precision)
LANGUAGE plpgsql AS $$
DECLARE
  most CONSTANT integer := 1000;
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
    LOOP
      SELECT array_agg(c.id), array_agg(c.wait) INTO found_ids, found_waits FROM (
        SELECT d.id, g.first_in + g.apart * (d.nth - 1) AS wait
          FROM webhooks_walk(lane_no, start, most) w
          CROSS JOIN LATERAL webhooks_gate(w.endpoint_id, moment, cap, horizon) g
          CROSS JOIN LATERAL (
            SELECT x.id, row_number() OVER (ORDER BY x.due_at) AS nth FROM (
              SELECT r.id, r.due_at FROM webhooks_due r
               WHERE r.ready AND r.order_key IS NULL AND r.lane = lane_no
                 AND r.endpoint_id = w.endpoint_id
               ORDER BY r.due_at
               LIMIT GREATEST(LEAST(g.places, cap - lane_no - g.live), 0)
               FOR UPDATE SKIP LOCKED) x) d
         WHERE NOT g.is_slow
           AND (served IS NULL OR NOT EXISTS (
             SELECT FROM webhooks_endpoint p
              WHERE p.id = w.endpoint_id AND p.account_id::text || lane_no = ANY(served)))
         LIMIT free) c;
      EXIT WHEN found_ids IS NOT NULL;
      SELECT w.endpoint_id INTO one FROM webhooks_walk(lane_no, start, most) w WHERE w.nth = most;
      IF one IS NOT NULL THEN
        RETURN QUERY SELECT NULL::uuid, one, 0, lane_no, lane_no, 0.0::double precision;
        EXIT;
      END IF;
      EXIT WHEN start = zero;
      start := zero;
    END LOOP;
    IF found_ids IS NOT NULL THEN
      ids := ids || found_ids;
      waits := waits || found_waits;
      walks := walks || array_fill(lane_no, ARRAY[cardinality(found_ids)]);
      slots := slots || array_fill(lane_no, ARRAY[cardinality(found_ids)]);
      room[lane_no + 1] := room[lane_no + 1] - cardinality(found_ids);
      -- What is chosen counts as under way for the lanes that follow.
      UPDATE webhooks_due d
         SET ready = false, lease_id = under, holder = who, claims = d.claims + 1,
             lease_until = moment + lease_seconds * interval '1 second',
             due_at = moment + lease_seconds * interval '1 second'
       WHERE d.id = ANY(found_ids);
      PERFORM webhooks_spend(found_ids, moment);
    END IF;
  END LOOP;

  start := cursors[4];
  before := cardinality(ids);
  LOOP
    free := 0;
    FOR one IN SELECT w.endpoint_id FROM webhooks_walk_special(start, 200) w LOOP
      EXIT WHEN cardinality(ids) - before >= batch;
      free := free + 1;
      SELECT g.* INTO gate FROM webhooks_gate(one, moment, cap, horizon) g;
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
        ids := ids || found_ids;
        waits := waits || ARRAY(
          SELECT gate.first_in + gate.apart * (nth - 1)
            FROM generate_series(1, cardinality(found_ids)) nth);
        walks := walks || array_fill(3, ARRAY[cardinality(found_ids)]);
        slots := slots || array_fill(into_slot, ARRAY[cardinality(found_ids)]);
        room[into_slot + 1] := room[into_slot + 1] - cardinality(found_ids);
        gate.places := gate.places - cardinality(found_ids);
        gate.live := gate.live + cardinality(found_ids);
        gate.first_in := gate.first_in + gate.apart * cardinality(found_ids);
        UPDATE webhooks_due d
           SET ready = false, lease_id = under, holder = who, claims = d.claims + 1,
               lease_until = moment + lease_seconds * interval '1 second',
               due_at = moment + lease_seconds * interval '1 second'
         WHERE d.id = ANY(found_ids);
        PERFORM webhooks_spend(found_ids, moment);
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
      FROM unnest(ids, walks, slots, waits) AS c(id, walk, slot, wait)
      JOIN webhooks_due d ON d.id = c.id;
END $$
"""

# Moves the next free moment of the endpoints among these deliveries that have a rate limit.
SPEND = """
CREATE FUNCTION webhooks_spend(taken uuid[], moment timestamptz) RETURNS void LANGUAGE sql AS $$
  UPDATE webhooks_pace p
     SET next_at = GREATEST(p.next_at, moment) + s.n * interval '1 second' / e.rate_limit
    FROM (SELECT d.endpoint_id, count(*) AS n FROM webhooks_due d WHERE d.id = ANY(taken)
           GROUP BY d.endpoint_id) s
         JOIN webhooks_endpoint e ON e.id = s.endpoint_id
   WHERE p.endpoint_id = s.endpoint_id AND p.next_at IS NOT NULL AND e.rate_limit IS NOT NULL
$$
"""

VACUUM = """
ALTER TABLE webhooks_pace SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01,
  autovacuum_vacuum_cost_delay = 0)
"""


class Migration(migrations.Migration):
    dependencies = [("webhooks", "0003_replays_and_timings")]

    operations = [
        migrations.AddField(
            model_name="due",
            name="is_behind",
            field=models.BooleanField(
                db_default=False,
                default=False,
                help_text="It waits for what comes before it in its order.",
            ),
        ),
        migrations.AddIndex(
            model_name="endpoint",
            index=models.Index(
                fields=["id"], name="endpoint_failing", condition=models.Q(status="failing")
            ),
        ),
        migrations.RemoveIndex(model_name="due", name="due_lane"),
        migrations.AddIndex(
            model_name="due",
            index=models.Index(
                fields=["lane", "endpoint", "due_at"],
                name="due_unordered",
                condition=models.Q(ready=True, order_key=None),
            ),
        ),
        migrations.AddIndex(
            model_name="due",
            index=models.Index(
                fields=["endpoint", "lane", "due_at"],
                name="due_in_order",
                condition=models.Q(ready=True, order_key__isnull=False),
            ),
        ),
        migrations.RunSQL(VACUUM, migrations.RunSQL.noop),
        migrations.RunSQL(
            GATE,
            "DROP FUNCTION webhooks_gate(uuid, timestamptz, integer, double precision)",
        ),
        migrations.RunSQL(WALK, "DROP FUNCTION webhooks_walk(integer, uuid, integer)"),
        migrations.RunSQL(WALK_SPECIAL, "DROP FUNCTION webhooks_walk_special(uuid, integer)"),
        migrations.RunSQL(
            PICK, "DROP FUNCTION webhooks_pick(uuid, integer, integer, boolean, timestamptz)"
        ),
        migrations.RunSQL(SPEND, "DROP FUNCTION webhooks_spend(uuid[], timestamptz)"),
        migrations.RunSQL(
            TAKE,
            "DROP FUNCTION webhooks_take(uuid[], integer[], integer[], integer, integer, integer, "
            "double precision, double precision, uuid, text)",
        ),
    ]
