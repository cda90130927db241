// Replay of mutations by request id; included by `sqlite` and by `postgres`.
// Each service's schema has the table:
//   replay(caller TEXT, request_id TEXT, body_hash BYTEA, response BYTEA, created_at BIGINT, PRIMARY KEY(caller, request_id))

/// Returns the response to an earlier attempt of the same request.
///
/// The same id with another body is [`Error::RequestIdReused`].
pub async fn replayed(
    connection: &mut <Db as sqlx::Database>::Connection,
    attempt: Option<&Attempt>,
) -> Result<Option<Vec<u8>>, Error> {
    let Some(attempt) = attempt else { return Ok(None) };
    let row: Option<(Vec<u8>, Vec<u8>)> =
        sqlx::query_as("SELECT body_hash, response FROM replay WHERE caller = $1 AND request_id = $2")
            .bind(&attempt.caller)
            .bind(&attempt.request_id)
            .fetch_optional(connection)
            .await?;
    match row {
        None => Ok(None),
        Some((body_hash, response)) if body_hash == attempt.body_hash => Ok(Some(response)),
        Some(_) => Err(Error::RequestIdReused),
    }
}

/// Keeps the response to an attempt, inside the transaction that carries it out.
///
/// Two attempts that race violate the primary key: one of them fails whole and its sender tries again.
pub async fn keep_response(
    connection: &mut <Db as sqlx::Database>::Connection,
    attempt: Option<&Attempt>,
    response: &[u8],
    now_us: i64,
) -> Result<(), Error> {
    let Some(attempt) = attempt else { return Ok(()) };
    sqlx::query(
        "INSERT INTO replay (caller, request_id, body_hash, response, created_at) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(&attempt.caller)
    .bind(&attempt.request_id)
    .bind(&attempt.body_hash)
    .bind(response)
    .bind(now_us)
    .execute(connection)
    .await?;
    Ok(())
}
