-- A customer is written by one statement: the row, what HubSpot is owed of it, and the event. What both
-- functions write was made by the caller from what it had read just before, without a lock; so they look
-- whether it is still so. `plan_cache_mode` and `enable_seqscan`: planned once per connection, by index,
-- however small the tables are then.

-- False, and nothing written, when the customer is another one than the caller has read: of another version,
-- or HubSpot has confirmed something since, which the event tells of.
CREATE FUNCTION crm_change_customer_v1(
  p_id uuid, p_version integer, p_contact_id text, p_synced_at timestamptz,
  p_email text, p_first_name text, p_last_name text, p_external_id text, p_properties jsonb,
  p_event uuid, p_type text, p_type_version smallint, p_actor jsonb, p_request_id text, p_payload bytea,
  p_at timestamptz
) RETURNS boolean LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
  v_account uuid;
BEGIN
  UPDATE crm_customer SET
    email = p_email, first_name = p_first_name, last_name = p_last_name, external_id = p_external_id,
    properties = p_properties, version = version + 1, updated_at = p_at
   WHERE id = p_id AND version = p_version AND erased_at IS NULL
  RETURNING account_id INTO v_account;
  IF NOT FOUND THEN
    RETURN false;
  END IF;

  -- As `services.customers.owe` does.
  UPDATE crm_contact SET
    revision = revision + 1, state = 'pending', due_at = coalesce(due_at, now()), batch_limit = NULL,
    failures = 0, error_code = '', error_reason = '', error_property = '', error_detail = ''
   WHERE id = p_id AND contact_id IS NOT DISTINCT FROM p_contact_id
     AND synced_at IS NOT DISTINCT FROM p_synced_at;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'HubSpot confirmed something while the change was written'
      USING ERRCODE = 'serialization_failure';
  END IF;

  INSERT INTO events_event (
    id, type, version, account_id, readers, subject, actor, request_id, payload, occurred_at)
  VALUES (
    p_event, p_type, p_type_version, v_account, '{}', p_id, p_actor, p_request_id, p_payload, p_at);
  RETURN true;
END $$;

-- False, and nothing written, when the account has a customer of this e-mail or external_id.
CREATE FUNCTION crm_create_customer_v1(
  p_id uuid, p_account uuid,
  p_email text, p_first_name text, p_last_name text, p_external_id text, p_properties jsonb,
  p_event uuid, p_type text, p_type_version smallint, p_actor jsonb, p_request_id text, p_payload bytea,
  p_at timestamptz
) RETURNS boolean LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
BEGIN
  INSERT INTO crm_customer (
    id, account_id, email, first_name, last_name, external_id, properties, version, created_at, updated_at)
  VALUES (
    p_id, p_account, p_email, p_first_name, p_last_name, p_external_id, p_properties, 1, p_at, p_at)
  ON CONFLICT DO NOTHING;
  IF NOT FOUND THEN
    RETURN false;
  END IF;

  INSERT INTO crm_contact (
    id, account_id, due_at, claims, state, revision, synced_revision, portal_key, acknowledged, failures,
    error_code, error_reason, error_property, error_detail)
  VALUES (p_id, p_account, p_at, 0, 'pending', 1, 0, '', '{}', 0, '', '', '', '');

  INSERT INTO events_event (
    id, type, version, account_id, readers, subject, actor, request_id, payload, occurred_at)
  VALUES (
    p_event, p_type, p_type_version, p_account, '{}', p_id, p_actor, p_request_id, p_payload, p_at);
  RETURN true;
END $$;
