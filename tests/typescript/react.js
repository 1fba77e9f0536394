// What a page with @elevenlabs/react does to have a call recorded; a test bundles it and opens it.
import { ConversationProvider, useConversation } from "@elevenlabs/react";
import { createElement, useEffect } from "react";
import { createRoot } from "react-dom/client";

function Call({ options }) {
  const conversation = useConversation();
  useEffect(() => {
    window.conversation = conversation;
  });
  useEffect(() => {
    conversation.startSession(options);
  }, []);
  return createElement("p", null, conversation.status);
}

/** Start a call; the recorder's callbacks are given to `startSession`, or to the provider. */
window.beginInReact = async (recorder, attached, signedUrl, givenTo) => {
  const { attach } = await import(recorder);
  const callbacks = attach(attached);
  const options = { signedUrl, textOnly: true };
  const root = document.body.appendChild(document.createElement("div"));
  createRoot(root).render(
    createElement(
      ConversationProvider,
      givenTo === "provider" ? callbacks : {},
      createElement(Call, {
        options: givenTo === "startSession" ? { ...options, ...callbacks } : options,
      }),
    ),
  );
};
