//! Calls whose answer goes on: the same authentication, refusals and single renewal as of any other call, but no end of
//! their time. What has one is each step: to connect, to be answered, and what the reader asks of a read.

use std::time::Duration;

use http::Response;
use hyper::body::Incoming;
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use tokio::time::timeout;

use super::{Call, Failure, Fault, Reply, Transport, Used, problem_of, unanswered, whole};

/// What came of one try.
enum Opened {
    Stream(Response<Incoming>),
    Refused(Used, Reply),
}

impl Transport {
    /// Makes a call, and once more when a fresh credential may help, and gives its answer unread. `Ok` is a success or a
    /// change of protocols; `first_byte` is how long the head of the answer, and the whole of a refusal, may take.
    pub(in crate::cci) async fn open(
        &self,
        call: &Call,
        headers: &HeaderMap,
        first_byte: Duration,
    ) -> Result<Response<Incoming>, Failure> {
        let (used, reply) = match self.try_open(call, headers, first_byte).await? {
            Opened::Stream(response) => return Ok(response),
            Opened::Refused(used, reply) => (used, reply),
        };
        let Some(problem) = problem_of(call, &used, &reply) else { return Err(not_understood()) };
        if !problem.is_unauthenticated() || !self.renew(&used, &reply).await {
            return Err(Failure::Problem(problem));
        }
        match self.try_open(call, headers, first_byte).await? {
            Opened::Stream(response) => Ok(response),
            Opened::Refused(used, reply) => {
                Err(problem_of(call, &used, &reply).map_or_else(not_understood, Failure::Problem))
            }
        }
    }

    async fn try_open(
        &self,
        call: &Call,
        headers: &HeaderMap,
        first_byte: Duration,
    ) -> Result<Opened, Fault> {
        let (used, request) = self.authenticated(self.http.client(), call).await?;
        let request = request.headers(headers.clone()).build().map_err(unanswered)?;
        let answered = async {
            let response = self.http.streams.send(request).await?;
            let status = response.status();
            if status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS {
                return Ok(Opened::Stream(response));
            }
            Ok(Opened::Refused(used, whole(response.map(reqwest::Body::wrap).into()).await?))
        };
        let late = |_| Fault::Lost(format!("no answer within {} s", first_byte.as_secs()));
        timeout(first_byte, answered).await.map_err(late)?
    }
}

/// Of a refusal that reads as a success, which there is not.
fn not_understood() -> Failure {
    Failure::Fault(Fault::Lost("the answer was not understood".to_owned()))
}
