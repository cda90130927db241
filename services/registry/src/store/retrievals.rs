// What retrievals and probes showed, and how good pointers are; included by `sqlite` and by `postgres`.

fn probes_query(limit: i64) -> String {
    // The index of what to probe holds current pointers; the database must see that these are asked for.
    format!(
        "SELECT {COLUMNS} FROM document d WHERE d.status = 1 ORDER BY d.liveness_at LIMIT {limit}"
    )
}

/// Counts a report in its custodian's hour.
async fn count_report(
    c: &mut Connection,
    custodian: &MemberId,
    report: &Report,
    now_us: i64,
) -> Result<(), Error> {
    let hour = now_us.div_euclid(score::HOUR_US);
    let (count,): (i64,) = sqlx::query_as(
        "INSERT INTO retrieval (custodian, hour, outcome, bucket, count) VALUES ($1, $2, $3, $4, 1)
         ON CONFLICT (custodian, hour, outcome, bucket) DO UPDATE SET count = retrieval.count + 1
         RETURNING count",
    )
    .bind(custodian.as_str())
    .bind(hour)
    .bind(Outcome::of(report.probe, report.succeeded).number())
    .bind(score::bucket(report.elapsed_ms))
    .fetch_one(&mut *c)
    .await?;
    if count == 1 {
        // Now and then is often enough to forget what nobody may look back to.
        sqlx::query("DELETE FROM retrieval WHERE custodian = $1 AND hour < $2")
            .bind(custodian.as_str())
            .bind(hour - 24 * i64::from(score::DAYS_MAX) - 1)
            .execute(c)
            .await?;
    }
    Ok(())
}

/// Ends a condition with the custodian that is asked for.
fn of_custodian(sql: &mut QueryBuilder<Db>, custodian: Option<&MemberId>) {
    if let Some(custodian) = custodian {
        sql.push(" AND custodian = ").push_bind(custodian.to_string());
    }
}

impl SqlStore {
    async fn count_pointers(&self, custodian: Option<&MemberId>, scores: &mut Scores) -> Result<(), Error> {
        let mut sql = QueryBuilder::<Db>::new(
            "SELECT custodian, status, liveness, COUNT(*), MAX(registered_at) FROM document WHERE true",
        );
        of_custodian(&mut sql, custodian);
        sql.push(" GROUP BY custodian, status, liveness");
        let rows: Vec<(String, i64, i64, i64, i64)> =
            sql.build_query_as().fetch_all(&self.pools.read).await?;
        for (custodian, status, liveness, count, last_us) in rows {
            let (status, liveness) = (number(status, "document status")?, number(liveness, "liveness")?);
            scores.entry(member(&custodian)?).or_default().add_pointers(status, liveness, count, last_us);
        }
        Ok(())
    }

    async fn count_duplicates(&self, custodian: Option<&MemberId>, scores: &mut Scores) -> Result<(), Error> {
        let mut sql = QueryBuilder::<Db>::new(
            "SELECT custodian, CAST(SUM(alike) AS BIGINT) FROM (
                SELECT custodian, COUNT(*) AS alike FROM document WHERE status = 1 AND length(sha256) > 0",
        );
        of_custodian(&mut sql, custodian);
        sql.push(" GROUP BY custodian, local_id, sha256 HAVING COUNT(*) > 1) AS twice GROUP BY custodian");
        let rows: Vec<(String, i64)> = sql.build_query_as().fetch_all(&self.pools.read).await?;
        for (custodian, duplicates) in rows {
            scores.entry(member(&custodian)?).or_default().duplicates = duplicates;
        }
        Ok(())
    }

    async fn measure_lag(
        &self,
        custodian: Option<&MemberId>,
        since_us: i64,
        scores: &mut Scores,
    ) -> Result<(), Error> {
        let mut sql = QueryBuilder::<Db>::new(
            "SELECT custodian, lag FROM (
                SELECT custodian, registered_at - created_at AS lag,
                    ROW_NUMBER() OVER (PARTITION BY custodian ORDER BY registered_at - created_at) AS place,
                    COUNT(*) OVER (PARTITION BY custodian) AS total
                FROM document WHERE created_at <> 0 AND registered_at >= ",
        );
        sql.push_bind(since_us);
        of_custodian(&mut sql, custodian);
        sql.push(") AS lags WHERE place = (total + 1) / 2");
        let rows: Vec<(String, i64)> = sql.build_query_as().fetch_all(&self.pools.read).await?;
        for (custodian, lag_us) in rows {
            scores.entry(member(&custodian)?).or_default().feed_lag_us = Some(lag_us);
        }
        Ok(())
    }

    async fn count_retrievals(
        &self,
        custodian: Option<&MemberId>,
        since_us: i64,
        scores: &mut Scores,
    ) -> Result<(), Error> {
        let mut sql = QueryBuilder::<Db>::new(
            "SELECT custodian, outcome, bucket, CAST(SUM(count) AS BIGINT) FROM retrieval WHERE hour >= ",
        );
        sql.push_bind(since_us.div_euclid(score::HOUR_US));
        of_custodian(&mut sql, custodian);
        sql.push(" GROUP BY custodian, outcome, bucket");
        let rows: Vec<(String, i64, i64, i64)> = sql.build_query_as().fetch_all(&self.pools.read).await?;
        for (custodian, outcome, bucket, count) in rows {
            let outcome = Outcome::from_number(outcome).ok_or(db::Error::Corrupt("outcome"))?;
            scores.entry(member(&custodian)?).or_default().add_reports(outcome, bucket, count);
        }
        Ok(())
    }
}

#[async_trait]
impl Retrievals for SqlStore {
    async fn report(
        &self,
        id: &DocumentId,
        report: &Report,
        attempt: Option<&Attempt>,
        now_us: i64,
    ) -> Result<Liveness, Error> {
        let mut tx = self.pools.write.begin_with(BEGIN).await?;
        let mut stored = find(&mut tx, id, "").await?.ok_or(Error::DocumentUnknown)?;
        if domain::learn(&stored, report, now_us).is_some() {
            stored = find(&mut tx, id, LOCK).await?.ok_or(Error::DocumentUnknown)?;
        }
        if replayed(&mut tx, attempt).await?.is_some() {
            return Ok(stored.liveness);
        }
        let mut liveness = stored.liveness;
        if let Some(learnt) = domain::learn(&stored, report, now_us) {
            sqlx::query(
                "UPDATE document SET liveness = $2, failures = $3, liveness_at = $4, liveness_reason = $5
                 WHERE document_id = $1",
            )
            .bind(id.to_string())
            .bind(i64::from(learnt.liveness as i32))
            .bind(learnt.failures)
            .bind(learnt.liveness_us)
            .bind(learnt.liveness_reason)
            .execute(&mut *tx)
            .await?;
            if learnt.liveness != stored.liveness {
                log(&mut tx, ChangeKind::Liveness, &[*id], now_us).await?;
            }
            liveness = learnt.liveness;
        }
        count_report(&mut tx, &stored.pointer.patient.member_id, report, now_us).await?;
        keep_response(&mut tx, attempt, &[], now_us).await?;
        tx.commit().await?;
        Ok(liveness)
    }

    async fn probes(&self, limit: i64) -> Result<Vec<Document>, Error> {
        let mut sql = QueryBuilder::<Db>::new(probes_query(limit));
        let rows: Vec<Row> = sql.build_query_as().fetch_all(&self.pools.read).await?;
        Ok(rows.into_iter().map(document).collect::<Result<_, _>>()?)
    }

    async fn scores(&self, custodian: Option<&MemberId>, since_us: i64) -> Result<Scores, Error> {
        let mut scores = Scores::new();
        self.count_pointers(custodian, &mut scores).await?;
        self.count_duplicates(custodian, &mut scores).await?;
        self.measure_lag(custodian, since_us, &mut scores).await?;
        self.count_retrievals(custodian, since_us, &mut scores).await?;
        Ok(scores)
    }
}
