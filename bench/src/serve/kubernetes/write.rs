//! Requests that change something, or say what a change would come to.

use std::sync::Arc;

use axum::response::Response;
use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::answer::{Form, respond};
use super::request::{Ask, one};
use super::{Service, body};
use crate::world::cluster::{
    Cluster, DeleteOptions, Deleted, List, Object, Part, ScaleChange, Status, Target, Writer,
};

impl Ask<'_> {
    fn writer(&self, now: Timestamp) -> Writer<'_> {
        Writer { now, manager: &self.manager }
    }

    fn part(&self) -> Part {
        match self.at.subresource {
            "status" => Part::Status,
            "approval" => Part::Approval,
            _ => Part::Main,
        }
    }

    /// Whether the query asks only what would be answered.
    fn is_dry_run(&self) -> Result<bool, Status> {
        match self.query.get("dryRun").map(String::as_str) {
            None | Some("") => Ok(false),
            Some("All") => Ok(true),
            Some(other) => Err(Status::bad_request(format!(
                "dryRun: Unsupported value: \"{other}\": supported values: \"All\""
            ))),
        }
    }

    /// Makes a change, or with `dry` only finds out what it would come to.
    fn change<R>(
        &self,
        service: &Service,
        dry: bool,
        act: impl FnOnce(&mut Cluster, Writer<'_>) -> Result<R, Status>,
    ) -> Result<R, Status> {
        let act = |cluster: &mut Cluster, now| act(cluster, self.writer(now));
        if dry { service.kubernetes.rehearse(act) } else { service.kubernetes.with(act) }
    }

    /// As [`Ask::change`], for a change whose answer is the object. What a dry run makes of it has the
    /// resource version of what is stored, or none.
    fn change_object(
        &self,
        service: &Service,
        form: Form,
        act: impl FnOnce(&mut Cluster, Writer<'_>) -> Result<(Arc<Object>, bool), Status>,
    ) -> Result<Response, Status> {
        let dry = self.is_dry_run()?;
        let (mut object, made) = self.change(service, dry, act)?;
        if dry {
            let stored = service.kubernetes.read(|cluster| {
                cluster.get(object.kind, object.namespace(), object.name()).map(|stored| stored.revision)
            });
            object = object.at(stored.unwrap_or(0));
        }
        Ok(one(if made { StatusCode::CREATED } else { StatusCode::OK }, form, &object))
    }

    pub(super) fn create(&self, service: &Service, form: Form) -> Result<Response, Status> {
        if self.at.kind.namespaced && self.at.namespace.is_none() {
            return Err(Status::method_not_allowed());
        }
        let (kind, namespace) = (self.at.kind, self.at.namespace.unwrap_or_default());
        let (mut body, warnings) = self.checked_object()?;
        if kind.plural == "certificatesigningrequests" {
            // Who asks is not for the asker to say.
            let (user, groups) = service.kubernetes.requester(self.headers);
            body["spec"]["username"] = json!(user);
            body["spec"]["groups"] = json!(groups);
        }
        let answer = self.change_object(service, form, |cluster, writer| {
            cluster.create(writer, kind, namespace, body).map(|object| (object, true))
        })?;
        Ok(warnings.on(answer))
    }

    pub(super) fn create_subresource(&self, service: &Service) -> Result<Response, Status> {
        let (target, body) = (self.target()?, self.object()?);
        if self.at.subresource == "token" {
            let dry = self.is_dry_run()?;
            let token = self.change(service, dry, |cluster, writer| cluster.token(writer, target, &body))?;
            return Ok(respond(StatusCode::CREATED, "application/json", token.to_string()));
        }
        if self.at.subresource == "binding" {
            self.change(service, self.is_dry_run()?, |cluster, writer| cluster.bind(writer, target, &body))?;
        } else {
            let dry = self.is_dry_run()? || DeleteOptions::parse(&body["deleteOptions"]).dry_run;
            self.change(service, dry, |cluster, writer| cluster.evict(writer, target, &body))?;
        }
        Ok(respond(StatusCode::CREATED, "application/json", Status::created().to_string()))
    }

    pub(super) fn update(&self, service: &Service, form: Form) -> Result<Response, Status> {
        let (target, (body, warnings)) = (self.target()?, self.checked_object()?);
        if self.at.subresource == "scale" {
            return self.rescale(service, target, ScaleChange::Replace(body));
        }
        let answer = self.change_object(service, form, |cluster, writer| {
            cluster.update(writer, target, self.part(), body).map(|object| (object, false))
        })?;
        Ok(warnings.on(answer))
    }

    pub(super) fn patch(&self, service: &Service, form: Form) -> Result<Response, Status> {
        let target = self.target()?;
        let mut patch = body::patch(self.headers, &self.body, &self.query)?;
        let warnings = self.check_patch(&mut patch)?;
        if self.at.subresource == "scale" {
            return self.rescale(service, target, ScaleChange::Patch(patch));
        }
        let answer = self.change_object(service, form, |cluster, writer| {
            cluster.patch(writer, target, self.part(), &patch)
        })?;
        Ok(warnings.on(answer))
    }

    fn rescale(
        &self,
        service: &Service,
        target: Target<'_>,
        change: ScaleChange,
    ) -> Result<Response, Status> {
        let dry = self.is_dry_run()?;
        let scale = self.change(service, dry, |cluster, writer| cluster.rescale(writer, target, change))?;
        Ok(respond(StatusCode::OK, "application/json", scale.to_string()))
    }

    fn delete_options(&self) -> Result<DeleteOptions, Status> {
        let body = if self.body.is_empty() { Value::Null } else { self.object()? };
        let mut options = DeleteOptions::parse(&body);
        if let Some(text) = self.query.get("gracePeriodSeconds") {
            let grace_s =
                text.parse().map_err(|_| Status::bad_request("gracePeriodSeconds is not a number"))?;
            options.grace_s = Some(grace_s);
        }
        options.orphan |= self.query.get("propagationPolicy").is_some_and(|policy| policy == "Orphan");
        options.dry_run |= self.is_dry_run()?;
        Ok(options)
    }

    pub(super) fn delete(&self, service: &Service, form: Form) -> Result<Response, Status> {
        let (target, options) = (self.target()?, self.delete_options()?);
        let deleted = self
            .change(service, options.dry_run, |cluster, writer| cluster.delete(writer, target, &options))?;
        // Only resources that are deleted with grace send what was deleted; the others say that it was.
        Ok(match deleted {
            Deleted::Gone(object) if !object.kind.is_graceful() => {
                let success = Status::success(object.kind, object.name(), object.uid());
                respond(StatusCode::OK, "application/json", success.to_string())
            }
            Deleted::Gone(object) | Deleted::Going(object) => one(StatusCode::OK, form, &object),
        })
    }

    pub(super) fn delete_collection(&self, service: &Service, form: Form) -> Result<Response, Status> {
        let (kind, selector, options) = (self.at.kind, self.selector()?, self.delete_options()?);
        let list = self.change(service, options.dry_run, |cluster, writer| {
            let objects = cluster.delete_collection(writer, kind, &selector, &options);
            Ok(List { objects, revision: cluster.revision(), continuation: None })
        })?;
        Ok(respond(StatusCode::OK, "application/json", form.list(kind, &list, Timestamp::now())))
    }
}
