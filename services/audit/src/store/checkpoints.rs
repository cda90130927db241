// Signed checkpoints; included by `sqlite` and by `postgres`.

type KeptRow = (i64, String, i64);

fn kept(row: KeptRow) -> Result<Kept, Error> {
    let (size, note, signed_us) = row;
    Ok(Kept { size: read(size)?, note, signed_us })
}

async fn last_checkpoint(pools: &Pools) -> Result<Option<Kept>, Error> {
    let row = sqlx::query_as("SELECT size, note, signed_at FROM checkpoint ORDER BY size DESC LIMIT 1")
        .fetch_optional(&pools.read)
        .await?;
    row.map(kept).transpose()
}

async fn checkpoints(pools: &Pools, after: u64, limit: i64) -> Result<Vec<Kept>, Error> {
    let rows =
        sqlx::query_as("SELECT size, note, signed_at FROM checkpoint WHERE size > $1 ORDER BY size LIMIT $2")
            .bind(stored(after))
            .bind(limit)
            .fetch_all(&pools.read)
            .await?;
    rows.into_iter().map(kept).collect()
}

/// The update is the lock: whoever signs at the same time finds another size, and sizes become visible in order.
async fn keep_checkpoint(c: &mut Connection, before: u64, new: &Kept) -> Result<bool, Error> {
    let Kept { size, note, signed_us } = new;
    let mut tx = c.begin_with(BEGIN).await?;
    let last = sqlx::query("UPDATE checkpoint_head SET size = $1 WHERE id = 1 AND size = $2")
        .bind(stored(*size))
        .bind(stored(before))
        .execute(&mut *tx)
        .await?;
    if last.rows_affected() == 0 {
        tx.rollback().await?;
        return Ok(false);
    }
    sqlx::query("INSERT INTO checkpoint (size, note, signed_at) VALUES ($1, $2, $3)")
        .bind(stored(*size))
        .bind(note)
        .bind(*signed_us)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(true)
}
