WITH ins AS (
  INSERT INTO app.comments (tenant_id, task_id, author_id, body)
  VALUES (md5('tenant' || :t)::uuid, md5('task' || :t || '.' || :p || '.' || :k)::uuid,
          md5('user' || :t || '.' || :u)::uuid, 'bench: a comment of ordinary length')
  RETURNING id, task_id, author_id, body, created_at)
SELECT json_build_object('insert_comments_one', (SELECT row_to_json(ins) FROM ins));
