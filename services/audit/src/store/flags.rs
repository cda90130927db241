// Signs of misuse; included by `sqlite` and by `postgres`.

const FLAG: &str = "SELECT number, reason, sequence, occurred_at, member_id, user_name, sentence, evidence,
     looked_member, looked_user, looked_note, looked_at FROM flag";

/// The sum keeps the database from looking for the lowest sequence in the order of sequences: it would read the whole log before it.
const FIRST_SINCE: &str = "SELECT MIN(sequence + 0) FROM event WHERE occurred_at >= $1";

#[derive(sqlx::FromRow)]
struct FlagRow {
    number: i64,
    reason: String,
    sequence: i64,
    occurred_at: i64,
    member_id: String,
    user_name: String,
    sentence: String,
    evidence: String,
    looked_member: Option<String>,
    looked_user: Option<String>,
    looked_note: Option<String>,
    looked_at: Option<i64>,
}

fn raised(row: FlagRow) -> Result<Raised, Error> {
    let corrupt = || db::Error::Corrupt("flag");
    let look = match (row.looked_member, row.looked_user, row.looked_note, row.looked_at) {
        (Some(member_id), Some(user), Some(note), Some(at_us)) => Some(Look { member_id, user, note, at_us }),
        _ => None,
    };
    let evidence = row.evidence.split(',').map(str::parse).collect::<Result<_, _>>().map_err(|_| corrupt())?;
    let flag = Flag {
        reason: Reason::read(&row.reason).ok_or_else(corrupt)?,
        sequence: read(row.sequence)?,
        at_us: row.occurred_at,
        evidence,
        member_id: row.member_id,
        user: row.user_name,
        sentence: row.sentence,
    };
    Ok(Raised { number: read(row.number)?, flag, look })
}

fn all_raised(rows: Vec<FlagRow>) -> Result<Vec<Raised>, Error> {
    rows.into_iter().map(raised).collect()
}

/// The update of the head is the lock: numbers become visible in order.
async fn raise(c: &mut Connection, watched: u64, flags: &[Flag]) -> Result<usize, Error> {
    let mut tx = c.begin_with(BEGIN).await?;
    let (before,): (i64,) = sqlx::query_as(
        "UPDATE flag_head SET sequence = CASE WHEN sequence < $1 THEN $1 ELSE sequence END WHERE id = 1
         RETURNING number",
    )
    .bind(stored(watched))
    .fetch_one(&mut *tx)
    .await?;
    let mut number = before;
    for flag in flags {
        let evidence: Vec<_> = flag.evidence.iter().map(u64::to_string).collect();
        // Another process may have raised it.
        let inserted = sqlx::query(
            "INSERT INTO flag (number, reason, sequence, occurred_at, member_id, user_name, sentence, evidence)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (sequence, reason) DO NOTHING",
        )
        .bind(number + 1)
        .bind(flag.reason.name())
        .bind(stored(flag.sequence))
        .bind(flag.at_us)
        .bind(&flag.member_id)
        .bind(&flag.user)
        .bind(&flag.sentence)
        .bind(evidence.join(","))
        .execute(&mut *tx)
        .await?;
        number += i64::from(inserted.rows_affected() > 0);
    }
    if number > before {
        sqlx::query("UPDATE flag_head SET number = $1 WHERE id = 1").bind(number).execute(&mut *tx).await?;
    }
    tx.commit().await?;
    Ok(usize::try_from(number - before).unwrap_or(0))
}

async fn acknowledge(c: &mut Connection, number: u64, look: &Look) -> Result<(), Error> {
    sqlx::query(
        "UPDATE flag SET looked_member = $1, looked_user = $2, looked_note = $3, looked_at = $4 WHERE number = $5",
    )
    .bind(&look.member_id)
    .bind(&look.user)
    .bind(&look.note)
    .bind(look.at_us)
    .bind(stored(number))
    .execute(c)
    .await?;
    Ok(())
}

#[async_trait]
impl Flags for SqlStore {
    async fn raise(&self, watched: u64, flags: &[Flag]) -> Result<usize, Error> {
        let _turn = self.turn.lock().await;
        let mut c = self.writers.take().await?;
        let raised = raise(&mut c, watched, flags).await?;
        self.writers.keep(c);
        Ok(raised)
    }

    async fn acknowledge(&self, number: u64, look: &Look) -> Result<(), Error> {
        let _turn = self.turn.lock().await;
        let mut c = self.writers.take().await?;
        acknowledge(&mut c, number, look).await?;
        self.writers.keep(c);
        Ok(())
    }

    async fn flag(&self, number: u64) -> Result<Option<Raised>, Error> {
        let mut sql = QueryBuilder::<Db>::new(FLAG);
        sql.push(" WHERE number = ").push_bind(stored(number));
        sql.build_query_as().fetch_optional(&self.pools.read).await?.map(raised).transpose()
    }

    async fn flags(&self, query: &FlagQuery, before: Option<i64>, limit: i64) -> Result<Vec<Raised>, Error> {
        let mut sql = QueryBuilder::<Db>::new(FLAG);
        sql.push(" WHERE number < ").push_bind(before.unwrap_or(i64::MAX));
        if let Some(member_id) = &query.member_id {
            sql.push(" AND member_id = ").push_bind(member_id.as_str());
        }
        if query.open_only {
            sql.push(" AND looked_at IS NULL");
        }
        sql.push(" ORDER BY number DESC LIMIT ").push_bind(limit);
        all_raised(sql.build_query_as().fetch_all(&self.pools.read).await?)
    }

    async fn flags_after(&self, after: i64, limit: i64) -> Result<Vec<Raised>, Error> {
        let mut sql = QueryBuilder::<Db>::new(FLAG);
        sql.push(" WHERE number > ").push_bind(after).push(" ORDER BY number LIMIT ").push_bind(limit);
        all_raised(sql.build_query_as().fetch_all(&self.pools.read).await?)
    }

    async fn flag_head(&self) -> Result<FlagHead, Error> {
        let (number, sequence) = sqlx::query_as("SELECT number, sequence FROM flag_head WHERE id = 1")
            .fetch_one(&self.pools.read)
            .await?;
        Ok(FlagHead { number: read(number)?, watched: read(sequence)? })
    }

    async fn events_from(&self, sequence: u64, limit: i64) -> Result<Vec<Logged>, Error> {
        let rows = sqlx::query_as("SELECT sequence, leaf FROM event WHERE sequence >= $1 ORDER BY sequence LIMIT $2")
            .bind(stored(sequence))
            .bind(limit)
            .fetch_all(&self.pools.read)
            .await?;
        logged(rows)
    }

    async fn first_since(&self, from_us: i64) -> Result<Option<u64>, Error> {
        let (first,): (Option<i64>,) =
            sqlx::query_as(FIRST_SINCE).bind(from_us).fetch_one(&self.pools.read).await?;
        Ok(first.map(read).transpose()?)
    }
}
