-- Posts a deal, as one statement and so as one transaction: the deal, its items, history, event and, when an
-- idempotency key was sent, the answer to be remembered. In `p`: the deal, its items as lists, history, event
-- and answer; the bodies of event and answer are beside (p_answer '': no key). Where they tell of the time
-- they hold the byte 1F, which JSON never holds itself: the time is known here alone.
--
-- outcome: posted; in_flight (the key's first request is at work); answered (it has been answered, by what
-- status, fingerprint, body and location say). Nothing is written unless it is `posted`.
CREATE FUNCTION deals_post_v1(
  p jsonb, p_payload text, p_answer text, p_kept_seconds integer,
  OUT outcome text, OUT at timestamptz,
  OUT status smallint, OUT fingerprint text, OUT body bytea, OUT location text
) LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
  o record;
  v_channel uuid;
  v_now text;
BEGIN
  SELECT * INTO o FROM jsonb_to_record(p) AS r(
    id uuid, seller_id uuid, name text, currency text, total_price bigint, discount_type text,
    discount_amount bigint, final_price bigint, auto_accept_at bigint, auto_reject_below bigint,
    auction_ends_at timestamptz, auction_minimum bigint, auction_increment bigint,
    auction_reserve bigint, auction_buy_now bigint, auction_extension_seconds integer,
    item_ids uuid[], item_names text[], item_prices bigint[],
    change_id uuid, changes jsonb, channel_id uuid, channel text, event jsonb, answer jsonb);

  IF o.answer IS NOT NULL THEN
    IF NOT pg_try_advisory_xact_lock(hashtextextended(o.answer->>'lock_name', 0)) THEN
      outcome := 'in_flight';
      RETURN;
    END IF;
    SELECT 'answered', k.status, k.fingerprint, k.body, k.location
      INTO outcome, status, fingerprint, body, location
      FROM common_idempotencykey k
     WHERE k.account_id = o.seller_id AND k.key = o.answer->>'key'
       AND k.created_at >= now() - make_interval(secs => p_kept_seconds);
    IF FOUND THEN
      RETURN;
    END IF;
  END IF;

  at := clock_timestamp();
  v_now := to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');

  SELECT c.id INTO v_channel FROM events_channel c
   WHERE c.account_id = o.seller_id AND c.name = o.channel;
  IF NOT FOUND THEN  -- the seller's first deal; another one may be posted at the same time
    INSERT INTO events_channel AS c (id, account_id, name)
    VALUES (o.channel_id, o.seller_id, o.channel)
    ON CONFLICT (account_id, name) DO UPDATE SET name = excluded.name
    RETURNING c.id INTO v_channel;
  END IF;

  INSERT INTO deals_deal (
    id, seller_id, name, status, currency, total_price, discount_type, discount_amount, final_price,
    auto_accept_at, auto_reject_below, auction_ends_at, auction_minimum, auction_increment,
    auction_reserve, auction_buy_now, auction_extension_seconds, version, created_at, updated_at)
  VALUES (
    o.id, o.seller_id, o.name, 'available', o.currency, o.total_price, o.discount_type,
    o.discount_amount, o.final_price, o.auto_accept_at, o.auto_reject_below, o.auction_ends_at,
    o.auction_minimum, o.auction_increment, o.auction_reserve, o.auction_buy_now,
    o.auction_extension_seconds, 1, at, at);

  INSERT INTO deals_dealitem (id, deal_id, position, name, price)
  SELECT i.id, o.id, i.nth - 1, i.name, i.price
    FROM unnest(o.item_ids, o.item_names, o.item_prices) WITH ORDINALITY AS i(id, name, price, nth);

  INSERT INTO deals_dealhistory (id, deal_id, type, actor, request_id, changes, at)
  VALUES (o.change_id, o.id, o.event->>'type', o.event->'actor', o.event->>'request_id', o.changes, at);

  INSERT INTO events_event (
    id, type, version, account_id, channel_id, readers, subject, actor, request_id, payload,
    occurred_at)
  VALUES (
    (o.event->>'id')::uuid, o.event->>'type', (o.event->>'version')::smallint, o.seller_id, v_channel,
    '{}', o.id, o.event->'actor', o.event->>'request_id',
    convert_to(replace(p_payload, E'\x1f', v_now), 'UTF8'), at);

  IF o.answer IS NOT NULL THEN
    INSERT INTO common_idempotencykey AS k (
      id, account_id, key, fingerprint, status, body, location)
    VALUES (
      (o.answer->>'id')::uuid, o.seller_id, o.answer->>'key', o.answer->>'fingerprint',
      (o.answer->>'status')::smallint, convert_to(replace(p_answer, E'\x1f', v_now), 'UTF8'),
      o.answer->>'location')
    -- What stands there is older than a day, or it would have been found above.
    ON CONFLICT (account_id, key) DO UPDATE
      SET id = excluded.id, fingerprint = excluded.fingerprint, status = excluded.status,
          body = excluded.body, location = excluded.location, created_at = excluded.created_at;
  END IF;
  outcome := 'posted';
END $$;
