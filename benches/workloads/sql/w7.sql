WITH ids AS MATERIALIZED (
  SELECT md5('tenant' || :t)::uuid AS tenant, md5('task' || :t || '.' || :p || '.' || :k)::uuid AS task,
         md5('user' || :t || '.' || :u)::uuid AS author),
ins AS (
  INSERT INTO app.comments (tenant_id, task_id, author_id, body)
  SELECT tenant, task, author, body
  FROM ids, unnest(string_to_array(repeat('bench: a comment of ordinary length|', 999) || 'bench: a comment of ordinary length', '|')) body
  RETURNING id)
SELECT json_build_object('insert_comments', json_build_object('affected_rows', count(*))) FROM ins;
